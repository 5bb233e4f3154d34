package probe

import (
	"github.com/cilium/ebpf"

	"rollcage/internal/observe/event"
)

// archPrograms are the programs that only x86 has.
type archPrograms struct {
	PageFaultUser   *ebpf.Program `ebpf:"page_fault_user"`
	PageFaultKernel *ebpf.Program `ebpf:"page_fault_kernel"`
}

func (a *archPrograms) programs() []*ebpf.Program {
	return []*ebpf.Program{a.PageFaultUser, a.PageFaultKernel}
}

// addArchPrograms adds those of them that are optional.
func (k *kernelSide) addArchPrograms() {
	k.optional[event.PAGE_FAULT_E] = []*ebpf.Program{k.objs.PageFaultUser, k.objs.PageFaultKernel}
}
