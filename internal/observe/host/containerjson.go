package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// The facts about a container travel as JSON in container events, in the form
// that the captures of others have. Health, and whether the facts are partial,
// are not in that form: they have keys of ours, which others pass over.
const (
	healthKey  = "rollcage_health"
	partialKey = "rollcage_partial"
)

// errContainerJSON is wrapped by the errors of ParseContainerJSON.
var errContainerJSON = errors.New("malformed container JSON")

// containerKeys lists the keys of a container with where each is kept. Type and
// the labels need more than a copy.
func (c *Container) containerKeys() []jsonKey {
	return []jsonKey{
		{"id", &c.ID}, {"full_id", &c.FullID}, {"name", &c.Name},
		{"image", &c.Image}, {"imageid", &c.ImageID}, {"imagerepo", &c.ImageRepo},
		{"imagetag", &c.ImageTag}, {"imagedigest", &c.ImageDigest},
		{"created_time", &c.Created}, {"User", &c.User}, {"ip", &c.IP}, {"cni_json", &c.CNI},
		{"privileged", &c.Privileged}, {"host_pid", &c.HostPID}, {"host_network", &c.HostNetwork}, {"host_ipc", &c.HostIPC},
		{"labels", &c.Labels}, {"env", &c.Env},
		{"memory_limit", &c.MemoryLimit}, {"swap_limit", &c.SwapLimit},
		{"cpu_shares", &c.CPUShares}, {"cpu_quota", &c.CPUQuota}, {"cpu_period", &c.CPUPeriod},
		{"cpuset_cpu_count", &c.CPUSetCount}, {"size", &c.Size},
		{"is_pod_sandbox", &c.IsPodSandbox}, {"pod_sandbox_id", &c.PodSandboxID}, {"pod_sandbox_labels", &c.PodSandboxLabels},
		{"Mounts", &c.Mounts}, {"port_mappings", &c.PortMappings},
		{"Healthcheck", &c.Healthcheck}, {"LivenessProbe", &c.Liveness}, {"ReadinessProbe", &c.Readiness},
		{healthKey, &c.Health}, {partialKey, &c.Partial},
	}
}

type jsonKey struct {
	name  string
	value any // pointer to the field
}

// ParseContainerJSON reads the JSON of a container event, with or without the
// outer "container" key and a NUL at the end. A missing key or one of another
// type than expected leaves the zero value. The result is the caller's and
// shares no memory with data.
func ParseContainerJSON(data []byte) (*Container, error) {
	data = bytes.TrimRight(data, "\x00")
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		return nil, fmt.Errorf("%w: %w", errContainerJSON, err)
	}
	if outer, ok := keys["container"]; ok {
		keys = nil
		if err := json.Unmarshal(outer, &keys); err != nil {
			return nil, fmt.Errorf("%w: %w", errContainerJSON, err)
		}
	}
	c := &Container{Type: Unknown, Size: -1, Known: true}
	for _, k := range c.containerKeys() {
		if raw, ok := keys[k.name]; ok {
			// Another type than expected: the rest is still good.
			_ = json.Unmarshal(raw, k.value)
		}
	}
	var typ int64
	if json.Unmarshal(keys["type"], &typ) == nil {
		c.Type = ContainerType(int32(typ))
	}
	if c.ID == "" {
		return nil, fmt.Errorf("%w: no id", errContainerJSON)
	}
	c.complete(keys["lookup_state"])
	return c, nil
}

// complete fills what follows from the rest.
func (c *Container) complete(lookup json.RawMessage) {
	const found = 1 // the lookup states of old captures: 0 under way, 1 found, 2 failed
	var state int
	if len(lookup) > 0 && json.Unmarshal(lookup, &state) == nil && state != found {
		c.Known = false
	}
	if len(c.ID) == 64 {
		c.FullID, c.ID = c.ID, shortID(c.ID, c.Type)
	}
	if c.ImageRepo == "" && c.Image != "" {
		c.ImageRepo, c.ImageTag, c.ImageDigest = splitImage(c.Image, c.ImageTag, c.ImageDigest)
	}
}

// splitImage splits REPOSITORY[:TAG][@DIGEST]; tag and digest are what is known otherwise.
func splitImage(image, tag, digest string) (string, string, string) {
	repo, d, ok := strings.Cut(image, "@")
	if ok && digest == "" {
		digest = d
	}
	// A colon before the last slash belongs to the registry's port.
	if i := strings.LastIndexByte(repo, ':'); i > strings.LastIndexByte(repo, '/') {
		if tag == "" {
			tag = repo[i+1:]
		}
		repo = repo[:i]
	}
	return repo, tag, digest
}

// AppendJSON appends what is known about the container as ParseContainerJSON
// reads it, with the outer "container" key and without a NUL. Equal facts give
// equal bytes.
func (c *Container) AppendJSON(b []byte) []byte {
	b = append(b, `{"container":{"type":`...)
	b = appendValue(b, int32(c.Type))
	for _, k := range c.containerKeys() {
		if p, ok := k.value.(**Probe); ok && *p == nil {
			continue
		}
		b = append(append(append(b, `,"`...), k.name...), `":`...)
		b = appendValue(b, k.value)
	}
	return append(b, "}}"...)
}

// appendValue appends a value that cannot fail to be encoded; invalid UTF-8 is replaced.
func appendValue(b []byte, v any) []byte {
	enc, err := json.Marshal(v)
	if err != nil {
		return append(b, "null"...)
	}
	return append(b, enc...)
}
