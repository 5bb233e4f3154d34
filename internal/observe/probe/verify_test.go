package probe

import (
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

// The verifier gives up at a million instructions; kernels differ in how well
// they merge what they have seen before, so we stay far below.
const verifierBudget = 500_000

func TestEveryProgramIsVerifiedWithinItsBudget(t *testing.T) {
	needKernel(t)
	spec, err := loadBpf()
	if err != nil {
		t.Fatal(err)
	}
	for name, on := range map[string]bool{"sample_entries": true, "has_box": true, "filter_processes": true, "preemptible": preemptible()} { // all that may run
		if err := spec.Variables[name].Set(on); err != nil {
			t.Fatal(err)
		}
	}
	unused := map[bool]string{true: "sys_exit", false: "sys_exit_steady"}[preemptible()]
	delete(spec.Programs, unused)
	for name := range spec.Programs {
		t.Run(name, func(t *testing.T) {
			alone := spec.Copy()
			for other := range alone.Programs {
				if other != name {
					delete(alone.Programs, other)
				}
			}
			coll, err := ebpf.NewCollection(alone)
			var refused *ebpf.VerifierError
			if errors.As(err, &refused) {
				t.Fatalf("refused:\n%s", strings.Join(refused.Log[max(0, len(refused.Log)-40):], "\n"))
			}
			if err != nil {
				t.Fatal(err)
			}
			defer coll.Close()
			info, err := coll.Programs[name].Info()
			if err != nil {
				t.Fatal(err)
			}
			n, known := info.VerifiedInstructions()
			t.Logf("%d instructions verified", n)
			if known && n > verifierBudget {
				t.Errorf("the verifier walks %d instructions, more than %d", n, verifierBudget)
			}
		})
	}
}
