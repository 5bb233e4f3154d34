package probe

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"rollcage/internal/observe/event"
)

// Memory of the rings: of the activity lane for each CPU, less when there are
// many, and what part of it the lifecycle lane has.
const (
	ringPerCPU     = 8 << 20
	ringTotal      = 128 << 20
	ringMin        = 512 << 10
	lifecycleShare = 4
	maxProcesses   = 65536
	maxSamples     = 4096 // threads that make a call whose argument is sampled; 4 KiB each
)

// objects are the maps and programs that are loaded: all of bpfObjects, but of
// the two programs at the exit of system calls only the one that this kernel needs.
type objects struct {
	bpfMaps
	bpfVariables
	archPrograms
	SysEnter         *ebpf.Program `ebpf:"sys_enter"`
	SysExit          *ebpf.Program `ebpf:"sys_exit"`
	TaskNewtask      *ebpf.Program `ebpf:"task_newtask"`
	SchedProcessExec *ebpf.Program `ebpf:"sched_process_exec"`
	SchedProcessExit *ebpf.Program `ebpf:"sched_process_exit"`
	CgroupMkdir      *ebpf.Program `ebpf:"cgroup_mkdir"`
	SignalDeliver    *ebpf.Program `ebpf:"signal_deliver"`
	SchedSwitch      *ebpf.Program `ebpf:"sched_switch"`
}

// programs returns all programs.
func (o *objects) programs() []*ebpf.Program {
	return append(o.archPrograms.programs(), o.SysEnter, o.SysExit, o.TaskNewtask, o.SchedProcessExec, o.SchedProcessExit,
		o.CgroupMkdir, o.SignalDeliver, o.SchedSwitch)
}

func (o *objects) close() error {
	errs := []error{o.bpfMaps.Close()}
	for _, p := range o.programs() {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// kernelSide is what is loaded into the kernel.
type kernelSide struct {
	objs  objects
	cpus  int
	calls []call
	rings []*ring // of both lanes
	maps  []*ebpf.Map
	links []link.Link
	// optional are the programs for events that are only sent when asked for.
	optional map[event.Type][]*ebpf.Program
	attached map[event.Type][]link.Link
	entry    link.Link // at the beginning of system calls
}

// loadKernelSide loads programs and maps. Nothing is attached yet.
func loadKernelSide(o *Options, epoch uint64) (_ *kernelSide, err error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("raise the limit of locked memory (CAP_SYS_RESOURCE, or ulimit -l unlimited): %w", err)
	}
	spec, err := loadBpf()
	if err != nil {
		return nil, fmt.Errorf("read the BPF object: %w", err)
	}
	t, err := parseTables(spec, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	k := &kernelSide{attached: map[event.Type][]link.Link{}}
	if k.cpus, err = presentCPUs(); err != nil {
		return nil, err
	}
	k.calls = buildCalls(t, architecture())
	subcalls, extra := socketcalls(t, k.calls)
	k.calls = append(k.calls, extra...)

	size := ringSize(o.RingSize, k.cpus)
	if err := k.configure(spec, o, epoch, size); err != nil {
		return nil, err
	}
	if preemptible() {
		spec.Programs["sys_exit"] = spec.Programs["sys_exit_steady"]
	}
	if err := spec.LoadAndAssign(&k.objs, nil); err != nil {
		return nil, explain(err)
	}
	defer func() {
		if err != nil {
			k.close()
		}
	}()
	if err := k.fillTables(t, subcalls); err != nil {
		return nil, err
	}
	k.optional = map[event.Type][]*ebpf.Program{
		event.SIGNALDELIVER_E: {k.objs.SignalDeliver},
		event.SCHEDSWITCH_6_E: {k.objs.SchedSwitch},
	}
	k.addArchPrograms()
	return k, k.makeRings(size)
}

// configure sets what must be known before loading.
func (k *kernelSide) configure(spec *ebpf.CollectionSpec, o *Options, epoch uint64, size int) error {
	own := uint32(0)
	if !o.WatchSelf {
		own = uint32(os.Getpid())
	}
	for name, v := range map[string]any{
		"boot_epoch": epoch, "own_tgid": own, "snaplen": uint32(o.Snaplen), "filter_processes": o.FilterProcesses,
		"preemptible": preemptible(), "sample_entries": o.SampleArguments, "has_box": o.Box != nil, "box_segments_each": uint32(o.Box.segments()),
		"wake_bytes": [2]uint32{uint32(size / 4), uint32(size / lifecycleShare / 4)},
	} {
		if err := spec.Variables[name].Set(v); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	if o.Box != nil {
		spec.Maps["box_segments"].MaxEntries = uint32(k.cpus * o.Box.segments())
	}
	spec.Maps["scratches"].MaxEntries = uint32(k.cpus * int(bpfRootROOTS))
	for _, name := range []string{"drops", "activity_rings", "lifecycle_rings"} {
		spec.Maps[name].MaxEntries = uint32(k.cpus)
	}
	if o.FilterProcesses {
		spec.Maps["process_filters"].MaxEntries = maxProcesses
		spec.Maps["image_changes"].MaxEntries = maxProcesses
	}
	if o.SampleArguments {
		spec.Maps["samples"].MaxEntries = maxSamples
	}
	spec.Maps["activity_rings"].InnerMap.MaxEntries = uint32(size)
	spec.Maps["lifecycle_rings"].InnerMap.MaxEntries = uint32(size / lifecycleShare)
	return nil
}

// fillTables puts the recipes and translations where the programs look for them.
func (k *kernelSide) fillTables(t *tables, subcalls []uint32) error {
	for _, c := range k.calls {
		if err := k.objs.Calls.Put(uint32(c.index), &c.row); err != nil {
			return fmt.Errorf("fill the table of calls: %w", err)
		}
	}
	for i, tr := range t.translations {
		if err := k.objs.Translations.Put(uint32(i), &tr); err != nil {
			return fmt.Errorf("fill the translations: %w", err)
		}
	}
	for i, index := range subcalls {
		if err := k.objs.Socketcalls.Put(uint32(i), index); err != nil {
			return fmt.Errorf("fill the table of socketcall: %w", err)
		}
	}
	return nil
}

// makeRings makes a ring of both lanes for each CPU.
func (k *kernelSide) makeRings(size int) error {
	for _, lane := range []struct {
		outer *ebpf.Map
		size  int
	}{{k.objs.ActivityRings, size}, {k.objs.LifecycleRings, size / lifecycleShare}} {
		for cpu := range k.cpus {
			m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "ring", Type: ebpf.RingBuf, MaxEntries: uint32(lane.size)})
			if err != nil {
				return fmt.Errorf("make a ring of %d bytes: %w", lane.size, explain(err))
			}
			k.maps = append(k.maps, m)
			if err := lane.outer.Put(uint32(cpu), m); err != nil {
				return fmt.Errorf("give CPU %d a ring: %w", cpu, err)
			}
			r, err := openRing(m)
			if err != nil {
				return err
			}
			r.cpu = uint16(cpu)
			k.rings = append(k.rings, r)
		}
	}
	return nil
}

// attach starts the programs: those about tasks first, so that no call of a task comes before it.
func (k *kernelSide) attach(o *Options) error {
	progs := []*ebpf.Program{k.objs.SchedProcessExit, k.objs.TaskNewtask, k.objs.SchedProcessExec}
	if o.OnCgroup != nil {
		progs = append(progs, k.objs.CgroupMkdir)
	}
	for _, p := range append(progs, k.objs.SysExit) {
		l, err := attach(p)
		if err != nil {
			return fmt.Errorf("attach %s: %w", p, explain(err))
		}
		k.links = append(k.links, l)
	}
	return nil
}

func attach(p *ebpf.Program) (link.Link, error) {
	if p.Type() == ebpf.TracePoint {
		return link.Tracepoint("raw_syscalls", "sys_exit", p, nil)
	}
	return link.AttachTracing(link.TracingOptions{Program: p})
}

// preemptible tells whether this kernel may preempt the programs of tracepoints, as it does since 7.0.
func preemptible() bool { return kernelAtLeast(7, 0) }

// setOptional attaches the programs of the optional events in the set and detaches the others.
func (k *kernelSide) setOptional(types *event.TypeSet) error {
	for t, progs := range k.optional {
		links, on := k.attached[t]
		switch want := types.Has(t); {
		case want && !on:
			for _, prog := range progs {
				l, err := link.AttachTracing(link.TracingOptions{Program: prog})
				if err != nil {
					return fmt.Errorf("attach %s: %w", prog, explain(err))
				}
				k.attached[t] = append(k.attached[t], l)
			}
		case !want && on:
			delete(k.attached, t)
			if err := closeLinks(links); err != nil {
				return fmt.Errorf("detach the programs of %s: %w", t, err)
			}
		}
	}
	return nil
}

// setEntry attaches the program at the beginning of system calls while there is something for it to do.
func (k *kernelSide) setEntry(time, sample bool) error {
	if err := k.objs.TimeEntries.Set(time); err != nil {
		return fmt.Errorf("measure how long calls take: %w", err)
	}
	switch on := k.entry != nil; {
	case (time || sample) && !on:
		l, err := link.AttachTracing(link.TracingOptions{Program: k.objs.SysEnter})
		if err != nil {
			return fmt.Errorf("attach %s: %w", k.objs.SysEnter, explain(err))
		}
		k.entry = l
	case !time && !sample && on:
		err := k.entry.Close()
		if k.entry = nil; err != nil {
			return fmt.Errorf("detach %s: %w", k.objs.SysEnter, err)
		}
	}
	return nil
}

func closeLinks(links []link.Link) error {
	var errs []error
	for _, l := range links {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// detach stops all programs.
func (k *kernelSide) detach() error {
	errs := []error{closeLinks(k.links)}
	if k.entry != nil {
		errs = append(errs, k.entry.Close())
	}
	for _, links := range k.attached {
		errs = append(errs, closeLinks(links))
	}
	k.links, k.entry, k.attached = nil, nil, map[event.Type][]link.Link{}
	return errors.Join(errs...)
}

// close frees everything but the memory of the rings, which unmapRings frees.
func (k *kernelSide) close() error {
	errs := []error{k.detach(), k.objs.close()}
	for _, m := range k.maps {
		errs = append(errs, m.Close())
	}
	k.maps = nil
	return errors.Join(errs...)
}

// ringSize is the size of an activity ring: a power of two, as the kernel wants it.
func ringSize(want, cpus int) int {
	if want <= 0 {
		want = min(ringPerCPU, ringTotal/cpus)
	}
	size := ringMin
	for size*2 <= want {
		size *= 2
	}
	return size
}

// presentCPUs returns the number of CPU ids that are in use or may come into
// use without new hardware. What runs on a CPU beyond them is counted as lost.
func presentCPUs() (int, error) {
	b, err := os.ReadFile("/sys/devices/system/cpu/present")
	if err != nil {
		return 0, fmt.Errorf("count the CPUs: %w", err)
	}
	b = bytes.TrimSpace(b) // for instance 0-7 or 0,2-3
	last := b[bytes.LastIndexAny(b, "-,")+1:]
	n, err := strconv.Atoi(string(last))
	if err != nil {
		return 0, fmt.Errorf("count the CPUs from %q: %w", b, err)
	}
	return n + 1, nil
}
