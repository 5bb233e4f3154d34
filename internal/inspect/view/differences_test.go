package view

import "fmt"

// difference is a way in which our rows are not those of csysdig, on purpose.
type difference struct {
	release string // the releases that it is about
	view    string // "" for every view
	column  string // names that may differ; "" for rows that only one side has
	why     string
	// meant reports whether that explains a difference. ours or theirs is nil if
	// there is no such row.
	meant func(ours, theirs cells, column string, all map[string]cells) bool
}

const (
	times = "TIME,TOT TIME,AVG TIME"
	ends  = "LIP,LPORT,RIP,RPORT"
)

// differences is the list of them. Each must show in some capture.
var differences = []difference{
	{"0.41", "", times, "0.41 does not know how long calls took",
		func(_, theirs cells, column string, _ map[string]cells) bool { return isZeroTime(theirs[column]) }},
	{"0.41", "spectro_all spectro_file", "", "0.41 has one step of latency, the unknown",
		func(ours, theirs cells, _ string, _ map[string]cells) bool {
			return theirs == nil || theirs["key"] == "0"
		}},
	{"0.41", "files directories", "OPENS", "openat, openat2 and creat open files too",
		func(ours, theirs cells, column string, _ map[string]cells) bool {
			return ours != nil && theirs != nil && number(ours[column]) > number(theirs[column])
		}},
	{"0.41", "procs", "", "0.41 leaves out processes whose parent it does not know",
		func(ours, theirs cells, _ string, all map[string]cells) bool {
			return theirs == nil && all[fmt.Sprint(ours["PPID"])] == nil
		}},
	{"0.41", "spy_users spy_users_wsysdig", "", "0.41 leaves out commands whose parent it does not know",
		func(_, theirs cells, _ string, _ map[string]cells) bool { return theirs == nil }},
	{"0.41", "procs_cpu", "TOT,USER,SYS", "0.41 mixes up the processor times of columns that stand side by side",
		func(ours, theirs cells, column string, _ map[string]cells) bool {
			return number(theirs[column]) >= number(ours[column])
		}},
	{"0.41", "errors", "", "0.41 does not know the names of all errors",
		func(ours, theirs cells, _ string, _ map[string]cells) bool {
			return ours == nil && theirs["key"] == "-38" || theirs == nil && ours["key"] == "ENOSYS"
		}},
	{"0.41", "connections", ends, "which end is the local one follows from who accepted, not from the host's own addresses",
		func(ours, theirs cells, _ string, _ map[string]cells) bool {
			return ours["LPORT"] == theirs["RPORT"] && ours["RPORT"] == theirs["LPORT"]
		}},
	{"0.41", "connections", "", "0.41 forgets a socket that is connected a second time",
		func(ours, theirs cells, _ string, _ map[string]cells) bool {
			return theirs == nil && ours["L4PROTO"] == "udp" || ours == nil && theirs["key"] == "<unknown>"
		}},
	{"0.41", "connections", "IOPS", "and what is done with it",
		func(ours, _ cells, _ string, _ map[string]cells) bool { return ours["key"] == "0.0.0.0:0->0.0.0.0:0" }},
	{"0.41", "procs", "USER", "the host's names say nothing about the users of a container, whose own names count",
		func(ours, _ cells, _ string, _ map[string]cells) bool {
			return ours["USER"] == "<NA>" || ours["USER"] == "nonrootuser"
		}},
	{"0.41", "procs", "USER", "when the first thread does not know the user of a process, a later one may",
		func(_, theirs cells, _ string, _ map[string]cells) bool { return theirs["USER"] == "<NA>" }},
	{"0.41", "procs_fd_usage", "MAX", "an unknown limit is 0, not -1",
		func(ours, theirs cells, column string, _ map[string]cells) bool {
			return ours[column] == 0.0 && theirs[column] == -1.0
		}},
	{"0.41", "procs procs_fd_usage", "", "an event whose process is not known is not left out",
		func(ours, theirs cells, _ string, _ map[string]cells) bool {
			return theirs == nil && ours["key"] == "-1"
		}},
	{"0.41", "procs_fd_usage", "OPEN", "and its descriptors are those that it used",
		func(ours, _ cells, _ string, _ map[string]cells) bool { return ours["key"] == "-1" }},

	{"0.29", "syscalls", "", "today's names of system calls",
		func(ours, theirs cells, _ string, _ map[string]cells) bool {
			return ours == nil && renamed[theirs["key"].(string)] || theirs == nil && renamed[ours["key"].(string)]
		}},
	{"0.29", "syscalls", times, "two calls that 0.29 counts under one name",
		func(ours, _ cells, _ string, _ map[string]cells) bool { return renamed[ours["key"].(string)] }},
	{"0.29", "syscalls", "", "events that only have an entry, and those that are no calls",
		func(ours, theirs cells, _ string, _ map[string]cells) bool {
			return ours == nil && isZeroTime(theirs["TOT TIME"])
		}},
	{"0.29", "containers", "PROCS,THREADS", "0.29 counts processes by the samples that it took of them",
		func(ours, _ cells, column string, _ map[string]cells) bool { return number(ours[column]) >= 1 }},
	{"0.29", "procs_cpu", "", "0.29 leaves out a process without a known container",
		func(ours, theirs cells, _ string, _ map[string]cells) bool { return theirs == nil }},
}

// renamed are system calls that the releases call differently.
var renamed = map[string]bool{"accept": true, "accept4": true, "<unknown>": true, "fadvise64": true, "sigreturn": true}

func isZeroTime(v any) bool { return v == "       0ns" }

func number(v any) float64 {
	n, _ := v.(float64)
	return n
}
