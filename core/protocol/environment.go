package protocol

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// passed names the variables of the host's environment that plugins see; a name that ends in * stands for all that
// begin so. Everything else stays out: what a plugin computes must not depend on it by accident.
var passed = []string{
	"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "TERM",
	"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
	"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK", "OMP_*", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
	"SLURM_*", "CUDA_*", "NVIDIA_*", "ROCR_*", "HIP_*",
	"ASTERISM_KERNEL", // results differ in their last bits between instruction sets: host and plugins use the same
}

// searched names the variables that list the folders in which code is looked for.
var searched = []string{"PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"}

// Environment gives what a plugin sees: the host's variables that are passed, and over them the plugin's own.
func Environment(own []string) []string {
	env := []string{"PYTHONDONTWRITEBYTECODE=1"} // into the plugin's own folder, whose digest would change
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		if !slices.ContainsFunc(passed, func(p string) bool {
			prefix, star := strings.CutSuffix(p, "*")
			return p == name || star && strings.HasPrefix(name, prefix)
		}) {
			continue
		}
		if slices.Contains(searched, name) {
			if value = fixed(value); value == "" {
				continue
			}
			v = name + "=" + value
		}
		env = append(env, v)
	}
	for _, v := range own {
		name, _, _ := strings.Cut(v, "=")
		env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
		env = append(env, v)
	}
	return env
}

// fixed takes those folders out of a list that depend on where the program works: nothing in the working folder is started
// or loaded because of its name. An empty one means the working folder.
func fixed(list string) string {
	folders := slices.DeleteFunc(filepath.SplitList(list), func(dir string) bool { return !filepath.IsAbs(dir) })
	return strings.Join(folders, string(filepath.ListSeparator))
}

// Executable finds the executable that a bare name means, in the folders of PATH that plugins see. Where there is none the
// name stays what it is, for the system to say so.
func Executable(name string) string {
	if filepath.Base(name) != name {
		return name
	}
	for _, dir := range filepath.SplitList(fixed(os.Getenv("PATH"))) {
		if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return found
		}
	}
	return name
}
