package view

// Category groups the tiles of an overview.
type Category struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// categories in the order in which they are shown.
var categories = []Category{
	{"general", "General"}, {"file", "File"}, {"network", "Network"}, {"napps", "Network Apps"},
	{"security", "Security"}, {"performance", "Performance"}, {"logs", "Logs"},
}

// measure says what a tile counts.
type measure uint8

const (
	countEvents   measure = iota
	countBytes            // results of the events
	countDistinct         // descriptors, by container and name
	countLines            // lines of data
	levelProcesses
	levelContainers
	levelListeners
)

// level reports whether the tile tells how much there is rather than adds up.
func (m measure) level() bool { return m >= levelProcesses }

// tile describes a tile of the overview.
type tile struct {
	name, category, doc string
	measure             measure
	where               string   // events that count, of all that pass the user's condition
	words               []string // of lines: one of them must be in it, in any case; nil for all lines
	severity            int      // of syslog lines: as urgent as this at least, 0 for all

	// opens is the view that shows more, under a condition and sorted by a
	// column, with a key to look at it by; title names it if it is a pseudo view.
	opens, filter, title, key string
	sort                      int

	quiet bool // not shown when nothing was counted
	noted bool // stands out when something was
}

// Conditions that several tiles share.
const (
	ofFiles    = "fd.type=file and evt.is_io=true and evt.failed=false"
	ofNetwork  = "fd.type in (ipv4, ipv6) and evt.is_io=true and evt.failed=false"
	ofHTTP     = `fd.type in (ipv4, ipv6) and evt.is_io=true and evt.buffer startswith "HTTP/"`
	ofFailed   = `(evt.buffer startswith "HTTP/1.1 4" or evt.buffer startswith "HTTP/1.1 5" or evt.buffer startswith "HTTP/1.0 4" or evt.buffer startswith "HTTP/1.0 5")`
	ofLogs     = `fd.type=file and evt.is_io_write=true and evt.failed=false and (fd.name contains ".log" or fd.name contains "_log" or fd.name contains "/var/log") and not fd.name endswith ".gz" and not fd.name endswith ".tgz"`
	ofSyslog   = `fd.name contains "/dev/log" and evt.is_io_write=true and evt.failed=false`
	ofSystem   = `evt.is_io_write=true and fd.type=file and (fd.name startswith /bin/ or fd.name startswith /sbin/ or fd.name startswith /boot/ or fd.name startswith /etc/ or fd.name startswith /lib or fd.name startswith /usr/bin/ or fd.name startswith /usr/sbin/ or fd.name startswith /usr/share/ or fd.name startswith /usr/lib)`
	ofOpens    = "evt.type in (open, openat, openat2, creat)"
	ofForks    = "evt.type in (clone, clone3, fork, vfork) and evt.rawres > 0"
	ofConnects = "evt.type=connect and fd.sport exists"
	ofAccepts  = "evt.type in (accept, accept4) and fd.sport exists"
	ofExecs    = "evt.type in (execve, execveat) and evt.failed=false"
	ofSlow     = `fd.type=file and evt.is_io=true and not fd.name startswith "/dev/" and evt.latency > `
	ofDenied   = "(evt.failed=true and evt.res in (EACCES, EPERM)) or (evt.type=procexit and evt.arg.sig=SIGSYS)"
	ofDrift    = "container.id!=host and evt.failed=false and (" +
		"(evt.type in (execve, execveat) and (proc.is_exe_upper_layer=true or proc.is_exe_from_memfd=true or proc.exe_ino.ctime_duration_pidns_start > 0)) or " +
		"(evt.type=mmap and fd.is_upper_layer=true and evt.arg.prot contains PROT_EXEC))"
	ofDrops    = "evt.type=drop"
	digNothing = "NONE"
)

// tiles is the table of all but those of single protocols.
var tiles = []tile{
	{name: "Running Processes", category: "general", doc: "Processes that ran at a time. One whose end the capture does not show counts as running to the end.", measure: levelProcesses, opens: "procs"},
	{name: "Running Containers", category: "general", doc: "Containers in which something ran.", measure: levelContainers, opens: "containers"},
	{name: "System Calls", category: "general", doc: "Events of all processes.", opens: "syscalls"},
	{name: "Drops", category: "general", doc: "Times at which the recorder said that it left events out. What is shown for them is less than what happened.",
		quiet: true, noted: true, where: ofDrops, opens: DigView, filter: ofDrops, title: "Drops", key: digNothing},

	{name: "File Bytes In+Out", category: "file", doc: "Bytes read from and written to files.", measure: countBytes,
		where: ofFiles, opens: "files", sort: 2, key: "fd.directory"},
	{name: "File Bytes In", category: "file", doc: "Bytes read from files.", measure: countBytes,
		where: ofFiles + " and evt.is_io_read=true", opens: "files", sort: 0, key: "fd.directory"},
	{name: "File Bytes Out", category: "file", doc: "Bytes written to files.", measure: countBytes,
		where: ofFiles + " and evt.is_io_write=true", opens: "files", sort: 1, key: "fd.directory"},
	{name: "Accessed Files", category: "file", doc: "Files that were read.", measure: countDistinct, quiet: true,
		where: "fd.type=file and evt.is_io_read=true", opens: "files", filter: "evt.is_io_read=true", sort: 2, key: "fd.directory"},
	{name: "Modified Files", category: "file", doc: "Files that were written.", measure: countDistinct, quiet: true,
		where: "fd.type=file and evt.is_io_write=true", opens: "files", filter: "evt.is_io_write=true", sort: 2, key: "fd.directory"},

	{name: "Net Bytes In+Out", category: "network", doc: "Bytes received from and sent to the network.", measure: countBytes,
		where: ofNetwork, opens: "sports", sort: 4, key: "fd.directory"},
	{name: "Net Bytes In", category: "network", doc: "Bytes received from the network.", measure: countBytes,
		where: ofNetwork + " and evt.is_io_read=true", opens: "sports", sort: 2, key: "fd.sport"},
	{name: "Net Bytes Out", category: "network", doc: "Bytes sent to the network.", measure: countBytes,
		where: ofNetwork + " and evt.is_io_write=true", opens: "sports", sort: 3, key: "fd.sport"},
	{name: "Active Network Connections", category: "network", doc: "Connections that carried something.", measure: countDistinct, quiet: true,
		where: "fd.type in (ipv4, ipv6) and evt.is_io=true", opens: "connections", filter: "evt.is_io=true", sort: 8, key: "fd.sport"},
	{name: "Listening Ports", category: "network", doc: "Sockets that processes wait on for connections.", measure: levelListeners, quiet: true,
		opens: "port_bindings", key: "fd.sport"},
	{name: "New Listening Ports", category: "network", doc: "Sockets that were bound to a port.", quiet: true, noted: true,
		where: "evt.type=bind and fd.sport exists", opens: "port_bindings"},
	{name: "New Outbound Connections", category: "network", doc: "Connections that processes opened or tried to.", quiet: true,
		where: ofConnects, opens: DigView, filter: ofConnects, title: "Connect events", key: digNothing},
	{name: "New Inbound Connections", category: "network", doc: "Connections that processes accepted.", quiet: true,
		where: ofAccepts, opens: DigView, filter: ofAccepts, title: "Accept events"},

	{name: "Executed Commands", category: "security", doc: "Programs that were run.", noted: true, where: ofExecs, opens: "spy_users_wsysdig"},
	{name: "Executed Interactive Commands", category: "security", doc: "Programs that were run from a shell.", quiet: true, noted: true,
		where: ofExecs + " and proc.pname contains bash", opens: "spy_users_wsysdig", filter: "proc.pname=bash"},
	{name: "Drift", category: "security", doc: "Programs that were run and libraries that were mapped in containers, and are not of the image: made or changed since, or in memory only.",
		quiet: true, noted: true, where: ofDrift, opens: DigView, filter: ofDrift, title: "Drift"},
	{name: "Denied", category: "security", doc: "Calls that were refused for want of rights (EACCES, EPERM), and processes that seccomp ended.",
		quiet: true, noted: true, where: ofDenied, opens: DigView, filter: ofDenied, title: "Denied calls"},
	{name: "New Symlinks", category: "security", doc: "Symbolic links that were made.", quiet: true, noted: true,
		where: "evt.type in (symlink, symlinkat) and evt.failed=false", opens: DigView, filter: "evt.type in (symlink, symlinkat)", title: "Symlink creations"},
	{name: "Modified System Files", category: "security", doc: "Files of the system that were written.", measure: countDistinct, quiet: true, noted: true,
		where: ofSystem, opens: "files", filter: ofSystem, sort: 2},
	{name: "Sudo Invocations", category: "security", doc: "Runs of sudo.", quiet: true, noted: true,
		where: ofExecs + " and proc.name=sudo", opens: DigView, filter: ofExecs + " and proc.name=sudo", title: "Sudo executions"},
	{name: "Setns Invocations", category: "security", doc: "Changes into another namespace.", quiet: true, noted: true,
		where: "evt.type=setns", opens: DigView, filter: "evt.type=setns", title: "Setns executions"},
	{name: "New SSH Connections", category: "security", doc: "SSH connections, in and out.", quiet: true, noted: true,
		where: "evt.type in (connect, accept, accept4) and fd.sport=22", opens: DigView,
		filter: "evt.type in (connect, accept, accept4) and fd.sport=22", title: "SSH connections"},
	{name: "Deleted Files", category: "security", doc: "Files that were deleted.", quiet: true, noted: true,
		where: "evt.type in (unlink, unlinkat) and evt.failed=false", opens: DigView, filter: "evt.type in (unlink, unlinkat)", title: "File deletions"},

	{name: "HTTP Requests", category: "performance", doc: "Answers to HTTP requests.", quiet: true, noted: true,
		where: ofHTTP, opens: EchoView, filter: ofHTTP, title: "HTTP responses", key: "fd.directory"},
	{name: "HTTP Errors", category: "performance", doc: "Answers to HTTP requests with status 4xx or 5xx, each as often as it was read and written.", quiet: true, noted: true,
		where: ofHTTP + " and " + ofFailed, opens: EchoView, filter: ofHTTP + " and " + ofFailed, title: "HTTP responses", key: "fd.directory"},
	{name: "File Open Errors", category: "performance", doc: "Files that could not be opened.", quiet: true,
		where: ofOpens + " and evt.failed=true", opens: DigView, filter: ofOpens + " and evt.failed=true", title: "Failed opens", key: digNothing},
	{name: "Fork Count", category: "performance", doc: "New processes and threads.", quiet: true,
		where: ofForks, opens: DigView, filter: ofForks, title: "Clone executions", key: digNothing},
	{name: "Failed Connection Attempts", category: "performance", doc: "Connections that could not be opened.", quiet: true, noted: true,
		where: "evt.type=connect and fd.type in (ipv4, ipv6) and evt.failed=true and evt.res!=EINPROGRESS", opens: DigView,
		filter: "evt.type=connect and fd.type in (ipv4, ipv6) and evt.failed=true and evt.res!=EINPROGRESS", title: "Failed connects", key: digNothing},
	{name: "Received Signals", category: "performance", doc: "Signals that processes received.", quiet: true,
		where: "evt.type=signaldeliver", opens: DigView, filter: "evt.type=signaldeliver", title: "Signals", key: digNothing},
	{name: "Segmentation Faults", category: "performance", doc: "Processes that accessed memory which is not theirs.", quiet: true, noted: true,
		where: "evt.type=signaldeliver and evt.arg.sig=SIGSEGV", opens: DigView, filter: "evt.type=signaldeliver and evt.arg.sig=SIGSEGV", title: "Segmentation faults", key: digNothing},
	{name: "Slow File I/O, 1ms+", category: "performance", doc: "Reads and writes of files that took more than 1 ms.", quiet: true,
		where: ofSlow + "1000000", opens: "slow_io", filter: "evt.latency > 1000000", sort: 1},
	{name: "Slow File I/O, 10ms+", category: "performance", doc: "Reads and writes of files that took more than 10 ms.", quiet: true,
		where: ofSlow + "10000000", opens: "slow_io", filter: "evt.latency > 10000000", sort: 1},
	{name: "Slow File I/O, 100ms+", category: "performance", doc: "Reads and writes of files that took more than 100 ms.", quiet: true, noted: true,
		where: ofSlow + "100000000", opens: "slow_io", filter: "evt.latency > 100000000", sort: 1},

	{name: "App Log Messages", category: "logs", doc: "Lines that were written to log files.", measure: countLines, quiet: true,
		where: ofLogs, opens: EchoView, filter: ofLogs, title: "Log messages"},
	{name: "App Log Warning Messages", category: "logs", doc: "Lines with a warning that were written to log files.", measure: countLines, quiet: true,
		where: ofLogs, words: []string{"warn"}, opens: EchoView, filter: ofLogs + " and evt.buffer icontains warn", title: "Log warnings"},
	{name: "App Log Error Messages", category: "logs", doc: "Lines with an error that were written to log files.", measure: countLines, quiet: true, noted: true,
		where: ofLogs, words: []string{"error", "critic", "emergency", "alert"}, opens: EchoView,
		filter: ofLogs + " and (evt.buffer icontains error or evt.buffer icontains critic or evt.buffer icontains emergency or evt.buffer icontains alert)", title: "Log errors"},
	{name: "Syslog Messages", category: "logs", doc: "Messages to the system log.", quiet: true, where: ofSyslog, opens: EchoView, filter: ofSyslog, title: "Syslog messages"},
	{name: "Syslog Warning Messages", category: "logs", doc: "Warnings to the system log.", quiet: true, where: ofSyslog, severity: syslogWarning,
		opens: EchoView, filter: ofSyslog, title: "Syslog messages"},
	{name: "Syslog Error Messages", category: "logs", doc: "Errors to the system log.", quiet: true, noted: true, where: ofSyslog, severity: syslogErrors,
		opens: EchoView, filter: ofSyslog, title: "Syslog messages"},
}

// The severities that tiles tell apart.
const (
	syslogWarning = 1 // severity 4
	syslogErrors  = 2 // more urgent
)

// protocol is what speaks on some ports of servers.
type protocol struct {
	name  string
	ports [][2]uint16
}

func ports(p ...uint16) (out [][2]uint16) {
	for _, n := range p {
		out = append(out, [2]uint16{n, n})
	}
	return out
}

// protocols names services by their usual ports.
var protocols = []protocol{
	{"HTTP", ports(80, 8080)}, {"HTTPs", ports(443)}, {"SSH", ports(22)}, {"DNS", ports(53)}, {"Kubernetes", ports(6443)},
	{"etcd", ports(2379, 2380)}, {"MySQL", ports(3306)}, {"PostgreSQL", ports(5432)}, {"Redis", ports(6379)}, {"CouchDB", ports(5984)},
	{"Fluentd", ports(9880)}, {"statsd", ports(8125)}, {"Gearman", ports(4730)}, {"Hadoop", ports(50070, 8020, 9000)},
	{"HBase", ports(60000, 60010, 60020, 60030)}, {"ZooKeeper", ports(2181)}, {"Kafka", ports(9092)}, {"Memcached", ports(11211)},
	{"MongoDB", [][2]uint16{{27017, 27019}, {28017, 28017}}}, {"RabbitMQ", ports(5672)}, {"Riak", ports(8087, 8098)}, {"Solr", ports(8983)},
	{"VoltDB", ports(5555)}, {"Elasticsearch", [][2]uint16{{9200, 9400}}},
}

// protocolByPort returns the index of the protocol of a server's port, -1 if it has none.
func protocolByPort(port uint16) int {
	for i := range protocols {
		for _, r := range protocols[i].ports {
			if port >= r[0] && port <= r[1] {
				return i
			}
		}
	}
	return -1
}
