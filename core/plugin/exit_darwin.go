package plugin

import (
	"time"

	"golang.org/x/sys/unix"
)

// awaitExit waits until the process has ended and leaves its number taken. macOS offers no such wait to us: the state
// is asked for.
func awaitExit(pid int) {
	const zombie = 5 // SZOMB
	for {
		info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
		if err != nil || info.Proc.P_stat == zombie {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}
