package metrics

// Group is a part of the metrics that can be switched off in Falco's configuration.
type Group uint8

// The groups.
const (
	Base      Group = 1 << iota // always
	Rules                       // rules_counters_enabled
	Resources                   // resource_utilization_enabled
	State                       // state_counters_enabled
	Kernel                      // kernel_event_counters_enabled
	CPUs                        // kernel_event_counters_per_cpu_enabled; with Kernel only
	Programs                    // libbpf_stats_enabled
	AllGroups = Base | Rules | Resources | State | Kernel | CPUs | Programs
)

// cpus reports whether there are counters by CPU.
func (g Group) cpus() bool { return g&Kernel != 0 && g&CPUs != 0 }

type kind uint8

const (
	counter kind = iota
	gauge
)

// unit is what a value is measured in: in fields its name has that as suffix
// or none, in Prometheus' format the base unit.
type unit uint8

const (
	one     unit = iota
	memory       // bytes; in fields kB or MB
	percent      // a share of 100; a ratio for Prometheus
	seconds
	rate // a second; in fields only
)

// metric is a number in a sample.
type metric struct {
	part   string // falco or scap: what it is filed under by Falco
	name   string // by Falco, without unit, "" if it has none
	native string // the whole name by us, "" if there is none
	help   string
	group  Group
	kind   kind
	unit   unit
	get    func(*Sample) float64
}

func count(get func(*Sample) uint64) func(*Sample) float64 {
	return func(s *Sample) float64 { return float64(get(s)) }
}

// metrics are all that have one value, in the order in which they are shown.
var metrics = []metric{
	{"falco", "host_num_cpus", "rollcage_host_cpus", "CPUs of the host.", Base, gauge, one,
		func(s *Sample) float64 { return float64(s.CPUs) }},
	{"falco", "duration", "rollcage_uptime_seconds", "How long the agent runs.", Base, counter, seconds,
		func(s *Sample) float64 { return s.Time.Sub(s.Agent.Started).Seconds() }},
	{"falco", "outputs_queue_num_drops", "", "", Base, counter, one, count(queueDrops)},
	{"falco", "num_evts", "rollcage_events_total", "Events that were judged.", Base, counter, one, count(events)},
	{"falco", "num_evts_prev", "", "", Base, gauge, one, func(s *Sample) float64 { return previous(s, events) }},
	{"falco", "evts_rate_sec", "", "", Base, gauge, rate, func(s *Sample) float64 { return s.rate(events) }},

	{"", "", "rollcage_events_skipped_total", "Events that were not understood and left out.", Base, counter, one,
		func(s *Sample) float64 { return float64(s.Agent.Source.Skipped) }},
	{"", "", "rollcage_rules", "Rules at work.", Base, gauge, one, func(s *Sample) float64 { return float64(s.Agent.RulesLoaded) }},
	{"", "", "rollcage_alerts_total", "Alerts that rules raised.", Base, counter, one, func(s *Sample) float64 { return float64(s.Agent.Alerts) }},
	{"", "", "rollcage_alerts_folded_total", "Alerts that were held back and counted in summaries.", Base, counter, one, func(s *Sample) float64 { return float64(s.Agent.Folded) }},
	{"", "", "rollcage_canary_ok", "1 if an act of Rollcage's own was detected lately.", Base, gauge, one, func(s *Sample) float64 { return truth(s.Health.OK) }},
	{"", "", "rollcage_canary_lag_seconds", "Time from the last detected canary act until it was judged.", Base, gauge, one,
		func(s *Sample) float64 { return s.Health.Lag.Seconds() }},
	{"", "", "rollcage_canary_detected_timestamp_seconds", "When the last detected canary act was done.", Base, gauge, one,
		func(s *Sample) float64 {
			if s.Health.Detected.IsZero() {
				return 0
			}
			return float64(s.Health.Detected.UnixMilli()) / 1000
		}},

	{"", "", "rollcage_captures_total", "Captures that alerts began.", Base, counter, one, func(s *Sample) float64 { return float64(s.Agent.Captures) }},
	{"", "", "rollcage_captures_failed_total", "Captures that could not be written whole.", Base, counter, one,
		func(s *Sample) float64 { return float64(s.Agent.CapturesFailed) }},
	{"", "", "rollcage_capture_events_lost_total", "Events that are missing in captures, as the disk was too slow.", Base, counter, one,
		func(s *Sample) float64 { return float64(s.Agent.CaptureLost) }},

	{"falco", "cpu_usage", "", "", Resources, gauge, percent, cpuUsage},
	{"falco", "memory_rss", "rollcage_memory_rss_bytes", "Memory of the process that is resident.", Resources, gauge, memory,
		func(s *Sample) float64 { return float64(s.Process.RSS) }},
	{"falco", "memory_vsz", "rollcage_memory_virtual_bytes", "Address space of the process.", Resources, gauge, memory,
		func(s *Sample) float64 { return float64(s.Process.Virtual) }},
	{"falco", "memory_pss", "rollcage_memory_pss_bytes", "Resident memory with its share of what others use too.", Resources, gauge, memory,
		func(s *Sample) float64 { return float64(s.Process.PSS) }},
	{"falco", "container_memory_used", "rollcage_cgroup_memory_bytes", "Memory of the cgroup that Rollcage runs in.", Resources, gauge, memory,
		func(s *Sample) float64 { return float64(s.Process.CgroupMemory) }},
	{"", "", "rollcage_cpu_seconds_total", "CPU time that the process used.", Resources, counter, one, func(s *Sample) float64 { return s.Process.CPU }},
	{"", "", "rollcage_threads", "Threads of the process.", Resources, gauge, one, func(s *Sample) float64 { return float64(s.Process.Threads) }},
	{"", "", "rollcage_open_fds", "Open descriptors of the process.", Resources, gauge, one, func(s *Sample) float64 { return float64(s.Process.OpenFDs) }},
	{"falco", "host_cpu_usage", "", "", Resources, gauge, percent, hostCPUUsage},
	{"", "", "rollcage_host_cpu_seconds_total", "CPU time that the host was busy.", Resources, counter, one, func(s *Sample) float64 { return s.Machine.CPU }},
	{"falco", "host_memory_used", "rollcage_host_memory_used_bytes", "Memory of the host that is in use, without caches.", Resources, gauge, memory,
		func(s *Sample) float64 { return float64(s.Machine.MemoryUsed) }},
	{"falco", "host_procs_running", "rollcage_host_procs_running", "Tasks of the host that run or want to.", Resources, gauge, one,
		func(s *Sample) float64 { return float64(s.Machine.ProcsRunning) }},
	{"falco", "host_open_fds", "rollcage_host_open_fds", "Open files of the host.", Resources, gauge, one,
		func(s *Sample) float64 { return float64(s.Machine.OpenFDs) }},

	{"falco", "n_threads", "rollcage_state_threads", "Threads that are known.", State, gauge, one,
		func(s *Sample) float64 { return float64(s.Agent.State.Threads) }},
	{"falco", "n_fds", "rollcage_state_fds", "Descriptors that are known.", State, gauge, one,
		func(s *Sample) float64 { return float64(s.Agent.State.FDs) }},
	{"", "", "rollcage_state_containers", "Containers that are known.", State, gauge, one, func(s *Sample) float64 { return float64(s.Agent.State.Containers) }},
	{"falco", "n_noncached_fd_lookups", "rollcage_state_fds_missing_total", "Events whose descriptor was not known.", State, counter, one,
		func(s *Sample) float64 { return float64(s.Agent.State.MissingFDs) }},
	{"falco", "n_failed_fd_lookups", "", "", State, counter, one,
		func(s *Sample) float64 {
			return float64(s.Agent.State.MissingFDs - min(s.Agent.State.MissingFDs, s.Agent.State.HealedFDs))
		}},
	{"", "", "rollcage_state_fds_healed_total", "Descriptors that were found in /proc.", State, counter, one,
		func(s *Sample) float64 { return float64(s.Agent.State.HealedFDs) }},
	{"falco", "n_added_fds", "rollcage_state_fds_added_total", "Descriptors that were added.", State, counter, one,
		func(s *Sample) float64 { return float64(s.Agent.State.AddedFDs) }},
	{"falco", "n_removed_fds", "rollcage_state_fds_removed_total", "Descriptors that were removed.", State, counter, one,
		func(s *Sample) float64 { return float64(s.Agent.State.RemovedFDs) }},
	{"falco", "n_stored_evts", "", "", State, counter, one, func(s *Sample) float64 { return float64(s.Agent.State.StoredEnters) }},
	{"falco", "n_retrieved_evts", "", "", State, counter, one, func(s *Sample) float64 { return float64(s.Agent.State.UsedEnters) }},
	{"falco", "n_noncached_thread_lookups", "rollcage_state_threads_missing_total", "Events whose thread was not known.", State, counter, one,
		func(s *Sample) float64 { return float64(s.Agent.State.MissingThreads) }},
	{"falco", "n_failed_thread_lookups", "rollcage_state_threads_inferred_total", "Threads that were made up, as nothing was found.", State, counter, one,
		func(s *Sample) float64 { return float64(s.Agent.State.InferredThreads) }},
	{"", "", "rollcage_state_threads_healed_total", "Threads that were found in /proc.", State, counter, one,
		func(s *Sample) float64 { return float64(s.Agent.State.HealedThreads) }},
	{"", "", "rollcage_state_heals_refused_total", "Look-ups in /proc that the limit of their rate did not allow.", State, counter, one,
		func(s *Sample) float64 { return float64(s.Agent.State.HealsRefused) }},
	{"falco", "n_added_threads", "rollcage_state_threads_added_total", "Threads that were added.", State, counter, one,
		func(s *Sample) float64 { return float64(s.Agent.State.AddedThreads) }},
	{"falco", "n_removed_threads", "rollcage_state_threads_removed_total", "Threads that were removed.", State, counter, one,
		func(s *Sample) float64 { return float64(s.Agent.State.RemovedThreads) }},
	{"falco", "n_drops_full_threadtable", "rollcage_state_threads_refused_total", "Threads that were not added, or forgotten, for lack of room.", State, counter, one,
		func(s *Sample) float64 { return float64(s.Agent.State.RefusedThreads + s.Agent.State.EvictedThreads) }},

	{"scap", "n_evts", "", "", Kernel, counter, one, count(seen)},
	{"scap", "n_evts_prev", "", "", Kernel, gauge, one, func(s *Sample) float64 { return previous(s, seen) }},
	{"scap", "evts_rate_sec", "", "", Kernel, gauge, rate, func(s *Sample) float64 { return s.rate(seen) }},
	{"scap", "n_drops", "rollcage_events_dropped_total", "Events that were lost, as they came faster than they could be read.", Kernel, counter, one, count(drops)},
	{"scap", "n_drops_prev", "", "", Kernel, gauge, one, func(s *Sample) float64 { return previous(s, drops) }},
	{"scap", "evts_drop_rate_sec", "", "", Kernel, gauge, rate, func(s *Sample) float64 { return s.rate(drops) }},
	{"scap", "n_drops_perc", "", "", Kernel, gauge, percent, dropPercent},
}

func previous(s *Sample, get func(*Sample) uint64) float64 {
	if s.Before == nil {
		return 0
	}
	return float64(get(s.Before))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// cpuUsage is the share of one CPU that the process used since it started.
func cpuUsage(s *Sample) float64 {
	if d := s.Time.Sub(s.Agent.Started).Seconds(); d > 0 {
		return 100 * s.Process.CPU / d
	}
	return 0
}

// hostCPUUsage is the share of all CPUs that was busy since boot, as Falco has it.
func hostCPUUsage(s *Sample) float64 {
	if all := s.Machine.CPU + s.Machine.CPUIdle; all > 0 {
		return 100 * s.Machine.CPU / all
	}
	return 0
}

// dropPercent is the share of the events since the sample before that were lost.
func dropPercent(s *Sample) float64 {
	n, lost := seen(s), drops(s)
	if s.Before != nil {
		n, lost = n-seen(s.Before), lost-drops(s.Before)
	}
	if n == 0 {
		return 0
	}
	return 100 * float64(lost) / float64(n)
}
