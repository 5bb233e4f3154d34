package probe

// addArchPrograms adds nothing: arm64 has no tracepoint for page faults on the kernels that we support.
func (k *kernelSide) addArchPrograms() {}
