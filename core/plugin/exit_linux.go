package plugin

import (
	"errors"

	"golang.org/x/sys/unix"
)

// awaitExit waits until the process has ended and leaves its number taken.
func awaitExit(pid int) {
	for {
		if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
