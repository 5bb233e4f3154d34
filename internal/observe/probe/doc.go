// Package probe watches the running host: BPF programs of our own see system
// calls and the life of tasks in the kernel, write them as events in their
// final layout into rings, and a [Probe] hands them out as an [event.Source],
// in order of time and without copying them.
//
// The package has a pure half and one that touches the kernel. Pure are the
// tables: recipes.txt says how each parameter of each event is made from a
// call, translations.txt how the kernel's flags become those of captures; both
// are parsed and checked without a kernel. The other half loads the programs
// (bpf/probe.bpf.c, compiled objects beside this file), fills their maps from
// the tables, and reads the rings. docs/probe.md explains the design.
//
// Needed are a kernel ≥ 5.10 with BTF and CAP_BPF and CAP_PERFMON, or root;
// [Supported] says what is missing.
package probe

//go:generate go run ./gen
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -cc clang-19 -strip llvm-strip-19 -target amd64,arm64 -type kind -type maker -type want -type call_flags -type lane -type root -type beside -type beside_tail -type box_class -type box_segment -type box_file -type kill_key -type kill -type kill_name -type kill_access -type kill_peer -type kill_scope -type entry_time -type sample -type call -type recipe -type translation -type translation_mode -type process_filter -type drop_counts -type scratch bpf bpf/probe.bpf.c -- -Wall -O2
