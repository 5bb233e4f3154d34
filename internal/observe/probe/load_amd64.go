package probe

import "rollcage/internal/observe/event"

// addArchPrograms adds the optional programs that only x86 has.
func (k *kernelSide) addArchPrograms() { k.optional[event.PAGE_FAULT_E] = k.objs.PageFaultUser }
