package plugin

import (
	"os"
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

// environment gives what a plugin sees: the host's variables that are passed, and over them the plugin's own.
func environment(own []string) []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if slices.ContainsFunc(passed, func(p string) bool {
			prefix, star := strings.CutSuffix(p, "*")
			return p == name || star && strings.HasPrefix(name, prefix)
		}) {
			env = append(env, v)
		}
	}
	for _, v := range own {
		name, _, _ := strings.Cut(v, "=")
		env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
		env = append(env, v)
	}
	return env
}
