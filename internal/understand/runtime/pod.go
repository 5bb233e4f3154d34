package runtime

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"rollcage/internal/observe/host"
)

// The labels by which the kubelet tells a container runtime what a container
// is part of (k8s.io/kubelet/pkg/types), and the ones that cri-dockerd adds.
const (
	labelPodName       = "io.kubernetes.pod.name"
	labelPodNamespace  = "io.kubernetes.pod.namespace"
	labelPodUID        = "io.kubernetes.pod.uid"
	labelContainerName = "io.kubernetes.container.name"
	labelSandboxID     = "io.kubernetes.sandbox.id"
	labelDockerType    = "io.kubernetes.docker.type"

	dockerSandbox = "podsandbox" // value of labelDockerType

	// lastApplied is the annotation in which kubectl apply keeps the pod as it
	// was asked for: the only place where a runtime hears of probes.
	lastApplied = "kubectl.kubernetes.io/last-applied-configuration"
	// dockerAnnotation comes before the name of an annotation that is kept as a label.
	dockerAnnotation = "annotation."
)

// maxCNI is the longest answer of a network plugin that is kept, in bytes.
const maxCNI = 16 << 10

// pod is what a runtime knows of a pod.
type pod struct {
	id, name, namespace, uid      string
	labels, annotations           map[string]string
	ip                            string
	cni                           string // JSON
	hostNetwork, hostPID, hostIPC bool
}

// apply tells a container what its pod is. The maps of the container are
// replaced where they change.
func (p *pod) apply(c *host.Container) {
	c.PodSandboxID = p.id
	c.PodSandboxLabels = p.labels
	c.IP = p.ip
	if len(p.cni) <= maxCNI {
		c.CNI = p.cni
	}
	c.HostNetwork, c.HostPID, c.HostIPC = p.hostNetwork, p.hostPID, p.hostIPC
	c.Labels = maps.Clone(c.Labels)
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	for label, value := range map[string]string{
		labelSandboxID: p.id, labelPodName: p.name, labelPodNamespace: p.namespace, labelPodUID: p.uid,
	} {
		if value != "" {
			c.Labels[label] = value
		}
	}
	if !c.IsPodSandbox {
		setProbes(c, p.annotations[lastApplied])
	}
}

// setProbes finds the commands that the kubelet runs in a container in the
// last-applied configuration of its pod. Probes over the network run no command.
func setProbes(c *host.Container, applied string) {
	if applied == "" {
		return
	}
	type probe struct {
		Exec struct {
			Command []string `json:"command"`
		} `json:"exec"`
	}
	type container struct {
		Name      string `json:"name"`
		Liveness  probe  `json:"livenessProbe"`
		Readiness probe  `json:"readinessProbe"`
	}
	var config struct {
		Spec struct {
			Containers []container `json:"containers"`
		} `json:"spec"`
	}
	if json.Unmarshal([]byte(applied), &config) != nil {
		return // an annotation may hold anything
	}
	name := c.Labels[labelContainerName]
	if name == "" {
		name = c.Name
	}
	command := func(p probe) *host.Probe {
		if len(p.Exec.Command) == 0 {
			return nil
		}
		return &host.Probe{Exe: p.Exec.Command[0], Args: p.Exec.Command[1:]}
	}
	i := slices.IndexFunc(config.Spec.Containers, func(in container) bool { return in.Name == name })
	if i >= 0 {
		c.Liveness, c.Readiness = command(config.Spec.Containers[i].Liveness), command(config.Spec.Containers[i].Readiness)
	}
}

// podLabels returns the labels that a pod was given, of those that its sandbox
// has in a runtime that keeps its own and annotations with them.
func podLabels(sandbox map[string]string) map[string]string {
	out := map[string]string{}
	for name, value := range sandbox {
		if name != labelDockerType && name != labelContainerName && !strings.HasPrefix(name, dockerAnnotation) {
			out[name] = value
		}
	}
	return out
}
