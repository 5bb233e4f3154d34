package probe

import "github.com/cilium/ebpf"

// archPrograms are none: arm64 has no tracepoint for page faults on the kernels that we support.
type archPrograms struct{}

func (a *archPrograms) programs() []*ebpf.Program { return nil }

func (k *kernelSide) addArchPrograms() {}
