package field

import (
	"slices"
	"strconv"
	"strings"

	"rollcage/internal/observe/host"
)

// containerFields are the fields of the container of the event's thread. What
// the runtime says of it is missing until it is known, and on the host; what it
// says of image, addresses and mounts is empty instead.
var containerFields = []Def{
	{Name: "container.id", Type: str, Flags: Suggested, Scope: ScopeProcess, Doc: "First 12 characters of the container's id, or host.",
		Example: "container.id != host", bind: inContainer(onHost, func(c *host.Container) string { return c.ID })},
	{Name: "container.full_id", Type: str, Scope: ScopeProcess, Doc: "Whole id of the container.",
		Example: "container.full_id startswith 3ad7b26ded6d", bind: containerText(func(c *host.Container) string { return c.FullID })},
	{Name: "container.name", Type: str, Flags: Suggested, Scope: ScopeProcess, Doc: "Name of the container, or host.",
		Example: "container.name = web", bind: inContainer(onHost, func(c *host.Container) string { return c.Name })},
	{Name: "container.image", Type: str, Scope: ScopeProcess, Doc: "Image of the container as it was asked for.",
		Example: "container.image = nginx:1.27", bind: containerWord(func(c *host.Container) string { return c.Image })},
	{Name: "container.image.id", Type: str, Scope: ScopeProcess, Doc: "Id of the image.",
		Example: "container.image.id startswith 6f7e2741b66b", bind: containerWord(func(c *host.Container) string { return c.ImageID })},
	{Name: "container.type", Type: str, Scope: ScopeProcess, Doc: "Runtime of the container, for instance docker or containerd, or host.",
		Example: "container.type = docker", bind: inContainer(onHost, containerType)},
	{Name: "container.privileged", Type: boolean, Scope: ScopeProcess, Doc: "Whether the container runs privileged.",
		Example: "container.privileged = true", bind: containerTruth(func(c *host.Container) bool { return c.Privileged })},
	{Name: "container.mounts", Type: str, Scope: ScopeProcess, Doc: "Mounts of the container as source:destination:mode:writable:propagation, joined by commas.",
		Example: "container.mounts contains /var/run/docker.sock", bind: containerList(appendMounts)},
	{Name: "container.mount", Type: str, Args: argEither | ArgRequired, Scope: ScopeProcess, Doc: "One mount of the container, by number or by a pattern of its source.",
		Example: "container.mount[0] startswith /proc", bind: mount(bySource, appendMount)},
	{Name: "container.mount.source", Type: str, Args: argEither | ArgRequired, Scope: ScopeProcess, Doc: "Source of a mount, by number or by a pattern of its destination.",
		Example: "container.mount.source[/host*] exists", bind: mount(byDestination, func(b []byte, m *host.Mount) []byte { return append(b, m.Source...) })},
	{Name: "container.mount.dest", Type: str, Args: argEither | ArgRequired, Scope: ScopeProcess, Doc: "Destination of a mount, by number or by a pattern of its source.",
		Example: "container.mount.dest[/var/run/docker.sock] exists", bind: mount(bySource, func(b []byte, m *host.Mount) []byte { return append(b, m.Destination...) })},
	{Name: "container.mount.mode", Type: str, Args: argEither | ArgRequired, Scope: ScopeProcess, Doc: "Mode of a mount, by number or by a pattern of its source.",
		Example: "container.mount.mode[/etc] = rw", bind: mount(bySource, func(b []byte, m *host.Mount) []byte { return append(b, m.Mode...) })},
	{Name: "container.mount.rdwr", Type: str, Args: argEither | ArgRequired, Scope: ScopeProcess, Doc: "Whether a mount is writable, true or false, by number or by a pattern of its source.",
		Example: `container.mount.rdwr[/etc] = "true"`, bind: mount(bySource, func(b []byte, m *host.Mount) []byte { return strconv.AppendBool(b, m.RW) })},
	{Name: "container.mount.propagation", Type: str, Args: argEither | ArgRequired, Scope: ScopeProcess, Doc: "Propagation of a mount, by number or by a pattern of its source.",
		Example: "container.mount.propagation[0] = rshared", bind: mount(bySource, func(b []byte, m *host.Mount) []byte { return append(b, m.Propagation...) })},
	{Name: "container.image.repository", Type: str, Flags: Suggested, Scope: ScopeProcess, Doc: "Repository of the image.",
		Example: "container.image.repository = docker.io/library/nginx", bind: containerWord(func(c *host.Container) string { return c.ImageRepo })},
	{Name: "container.image.tag", Type: str, Flags: Suggested, Scope: ScopeProcess, Doc: "Tag of the image.",
		Example: "container.image.tag = latest", bind: containerWord(func(c *host.Container) string { return c.ImageTag })},
	{Name: "container.image.digest", Type: str, Scope: ScopeProcess, Doc: "Digest of the image in its registry.",
		Example: `container.image.digest startswith "sha256:"`, bind: containerWord(func(c *host.Container) string { return c.ImageDigest })},
	{Name: "container.healthcheck", Type: str, Flags: Deprecated, Scope: ScopeProcess, Doc: "Never has a value.",
		Example: "not container.healthcheck exists", bind: never},
	{Name: "container.liveness_probe", Type: str, Flags: Deprecated, Scope: ScopeProcess, Doc: "Never has a value.",
		Example: "not container.liveness_probe exists", bind: never},
	{Name: "container.readiness_probe", Type: str, Flags: Deprecated, Scope: ScopeProcess, Doc: "Never has a value.",
		Example: "not container.readiness_probe exists", bind: never},
	{Name: "container.start_ts", Type: when, Scope: ScopeProcess, Doc: "Start of the container's first process in nanoseconds since the epoch.",
		Example: "container.start_ts > 1700000000000000000", bind: number(containerStart)},
	{Name: "container.duration", Type: ns, Doc: "Nanoseconds since the container was started.",
		Example: "container.duration < 60000000000", bind: number(containerAge)},
	{Name: "container.ip", Type: str, Scope: ScopeProcess, Doc: "IPv4 address of the container.",
		Example: "container.ip = 172.17.0.2", bind: containerWord(func(c *host.Container) string { return c.IP })},
	{Name: "container.cni.json", Type: str, Scope: ScopeProcess, Doc: "What the network plugin said of the container, as JSON.",
		Example: "container.cni.json contains eth0", bind: containerWord(func(c *host.Container) string { return c.CNI })},
	{Name: "container.host_pid", Type: boolean, Scope: ScopeProcess, Doc: "Whether the container shares the host's pid namespace.",
		Example: "container.host_pid = true", bind: containerTruth(func(c *host.Container) bool { return c.HostPID })},
	{Name: "container.host_network", Type: boolean, Scope: ScopeProcess, Doc: "Whether the container shares the host's network.",
		Example: "container.host_network = true", bind: containerTruth(func(c *host.Container) bool { return c.HostNetwork })},
	{Name: "container.host_ipc", Type: boolean, Scope: ScopeProcess, Doc: "Whether the container shares the host's IPC namespace.",
		Example: "container.host_ipc = true", bind: containerTruth(func(c *host.Container) bool { return c.HostIPC })},
	{Name: "container.label", Type: str, Args: argLabel, Scope: ScopeProcess, Doc: "Value of one label of the container.",
		Example: "container.label.maintainer = web-team", bind: label(containerLabels)},
	{Name: "container.labels", Type: str, Scope: ScopeProcess, Doc: "Labels of the container as key:value, joined by comma and blank; those of Kubernetes are left out.",
		Example: `container.labels contains "maintainer:web-team"`, bind: allLabels(containerLabels)},
	// These are ours; elsewhere they are read from labels or not at all.
	{Name: "container.user", Type: str, Scope: ScopeProcess, Doc: "User that the container's program runs as, as its creator named it; empty is the image's.",
		Example: `container.user = "1000:1000"`, bind: containerText(func(c *host.Container) string { return c.User })},
	{Name: "container.health", Type: str, Scope: ScopeProcess, Doc: "State of the health check: starting, healthy or unhealthy.",
		Example: "container.health = unhealthy", bind: containerFact(func(c *host.Container) string { return c.Health })},
	{Name: "container.compose.project", Type: str, Scope: ScopeProcess, Doc: "Compose project that the container belongs to.",
		Example: "container.compose.project = shop", bind: containerFact(composeLabel("project"))},
	{Name: "container.compose.service", Type: str, Scope: ScopeProcess, Doc: "Compose service that the container belongs to.",
		Example: "container.compose.service = web", bind: containerFact(composeLabel("service"))},
}

// Both forms of argument are taken by fields that come from a plugin elsewhere.
const (
	argEither = ArgIndex | ArgKey | ArgName
	argLabel  = ArgKey | ArgName | ArgRequired
)

// onHost is what fields say of processes outside of containers.
const onHost = "host"

func containerType(c *host.Container) string { return c.Type.String() }

// containerOf returns the container that the event's thread runs in, nil on the host.
func containerOf(e *host.Event) *host.Container {
	if e.Thread == nil {
		return nil
	}
	return e.Thread.Container
}

// inContainer binds a text of the container that outside of one is a word; an empty text is missing.
func inContainer(outside string, read func(c *host.Container) string) binder {
	return text(func(e *host.Event) (string, bool) {
		s := outside
		if c := containerOf(e); c != nil {
			s = read(c)
		}
		return s, s != "" && e.Thread != nil
	})
}

func containerText(read func(c *host.Container) string) binder { return inContainer("", read) }

// containerWord binds a text that is empty, not missing, on the host and where
// the runtime did not tell it: so it is in the container plugin of Falco, and
// conditions like container.image.repository != web, which are false where
// there is no value, hold for those processes too.
func containerWord(read func(c *host.Container) string) binder {
	return text(func(e *host.Event) (string, bool) {
		c := containerOf(e)
		if c == nil {
			return "", e.Thread != nil
		}
		return read(c), true
	})
}

// containerFact binds a text that a container may lack.
func containerFact(read func(c *host.Container) string) binder {
	return text(func(e *host.Event) (string, bool) {
		c := containerOf(e)
		if c == nil {
			return "", false
		}
		s := read(c)
		return s, s != ""
	})
}

// composeLabel reads one of the labels that Compose gives its containers.
func composeLabel(name string) func(c *host.Container) string {
	label := "com.docker.compose." + name
	return func(c *host.Container) string { return c.Labels[label] }
}

// containerTruth binds a fact that only the runtime knows, and may not have told yet.
func containerTruth(read func(c *host.Container) bool) binder {
	return number(func(e *host.Event) (uint64, bool) {
		c := containerOf(e)
		if c == nil || !c.Known || c.Partial {
			return 0, false
		}
		return bit(read(c)), true
	})
}

// containerBuilt binds a text that is put together from what the runtime knows.
func containerBuilt(read func(b []byte, c *host.Container) []byte) binder {
	return built(func(b []byte, e *host.Event, _ *Style) ([]byte, bool) {
		c := containerOf(e)
		if c == nil || !c.Known {
			return b, false
		}
		b = read(b, c)
		return b, len(b) > 0
	})
}

// containerList binds a text of many parts that is empty where there are none, as containerWord.
func containerList(read func(b []byte, c *host.Container) []byte) binder {
	return built(func(b []byte, e *host.Event, _ *Style) ([]byte, bool) {
		c := containerOf(e)
		if c == nil || !c.Known {
			return b, e.Thread != nil
		}
		return read(b, c), true
	})
}

func containerStart(e *host.Event) (uint64, bool) {
	if containerOf(e) == nil {
		return 0, false
	}
	return pidnsStart(e.Thread)
}

func containerAge(e *host.Event) (uint64, bool) {
	start, ok := containerStart(e)
	return since(e.Time(), start), ok
}

func appendMount(b []byte, m *host.Mount) []byte {
	for _, part := range [...]string{m.Source, m.Destination, m.Mode, strconv.FormatBool(m.RW)} {
		b = append(append(b, part...), ':')
	}
	return append(b, m.Propagation...)
}

func appendMounts(b []byte, c *host.Container) []byte {
	for i := range c.Mounts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendMount(b, &c.Mounts[i])
	}
	return b
}

func bySource(m *host.Mount) string      { return m.Source }
func byDestination(m *host.Mount) string { return m.Destination }

// mount binds a part of the mount with a number, or of the first whose key
// matches a pattern.
func mount(key func(m *host.Mount) string, part func(b []byte, m *host.Mount) []byte) binder {
	return func(f *Field) error {
		n, err := strconv.Atoi(f.Arg)
		matches := func(i int, _ *host.Mount) bool { return i == n }
		if err != nil {
			pattern, err := compileGlob(f.Arg)
			if err != nil {
				return f.argError("has a pattern that cannot be read: " + strconv.Quote(f.Arg))
			}
			matches = func(_ int, m *host.Mount) bool { return pattern.MatchString(key(m)) }
		}
		return containerBuilt(func(b []byte, c *host.Container) []byte {
			for i := range c.Mounts {
				if matches(i, &c.Mounts[i]) {
					return part(b, &c.Mounts[i])
				}
			}
			return b
		})(f)
	}
}

func containerLabels(c *host.Container) map[string]string { return c.Labels }

// label binds the value of the label that the argument names.
func label(of func(c *host.Container) map[string]string) binder {
	return func(f *Field) error {
		if f.Arg == "" {
			return f.argError("needs the name of a label")
		}
		return text(func(e *host.Event) (string, bool) {
			c := containerOf(e)
			if c == nil {
				return "", false
			}
			value, ok := of(c)[f.Arg]
			return value, ok
		})(f)
	}
}

// internalLabels are the beginnings of labels that are for the machinery only.
var internalLabels = []string{"annotation.", "io.kubernetes."}

// allLabels binds the labels in order of their keys.
func allLabels(of func(c *host.Container) map[string]string) binder {
	return func(f *Field) error {
		f.Read = func(e *host.Event, v *Value) bool {
			c := containerOf(e)
			if c == nil || !c.Known {
				return false
			}
			labels := of(c)
			v.keys = v.keys[:0]
			for key := range labels {
				if !slices.ContainsFunc(internalLabels, func(p string) bool { return strings.HasPrefix(key, p) }) {
					v.keys = append(v.keys, key)
				}
			}
			slices.Sort(v.keys)
			b := v.buf[:0]
			for i, key := range v.keys {
				if i > 0 {
					b = append(b, ", "...)
				}
				b = append(b, key...)
				if value := labels[key]; value != "" {
					b = append(append(b, ':'), value...)
				}
			}
			return v.set(b) && len(b) > 0
		}
		return nil
	}
}
