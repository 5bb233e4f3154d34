package probe

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

func init() {
	allScenes["supported in this pid namespace"] = func() []string { return []string{fmt.Sprint(Supported())} }
}

func TestAProcessInAPidNamespaceOfItsOwnIsToldSo(t *testing.T) {
	needKernel(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), sceneEnv+"=supported in this pid namespace")
	// The new namespace is the child's; what it looks at is itself, whatever /proc is mounted.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("no pid namespace can be made here: %v", err)
	}
	if !strings.Contains(string(out), "--pid=host") {
		t.Errorf("got %s", out)
	}
}
