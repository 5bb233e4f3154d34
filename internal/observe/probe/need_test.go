package probe

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
)

// needKernel skips a test where programs cannot be loaded.
func needKernel(t testing.TB) {
	t.Helper()
	if err := Supported(); err != nil {
		t.Skip(err)
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Skip(err)
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		t.Skipf("BPF is refused here: %v", err)
	}
	_ = m.Close()
}
