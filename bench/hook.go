package main

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
)

// attachHook attaches a program that does nothing to the end of every system
// call, which is where Rollcage's begins: it shows what the hook itself costs.
func attachHook() (link.Link, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "nothing", Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: "sys_exit", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return nil, fmt.Errorf("load an empty program: %w", err)
	}
	defer prog.Close() // the link holds it
	return link.AttachTracing(link.TracingOptions{Program: prog})
}

// tracers returns the number of programs of others that are attached to the
// kernel's events: they slow everything down that is measured here.
func tracers() (n int, err error) {
	var it link.Iterator
	for it.Next() {
		info, err := it.Link.Info()
		if err != nil {
			continue // gone again
		}
		switch info.Type {
		case link.RawTracepointType, link.PerfEventType, link.KprobeMultiType:
			n++
		case link.TracingType:
			if t := info.Tracing(); t != nil && ebpf.AttachType(t.AttachType) != ebpf.AttachTraceIter {
				n++
			}
		}
	}
	return n, it.Err()
}
