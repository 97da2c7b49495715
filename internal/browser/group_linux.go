package browser

import (
	"os/exec"
	"syscall"
)

// ownGroup makes the end of a browser the end of its helpers too, in a process group of
// their own. If the test is killed, the browser ends since its pipe does.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
