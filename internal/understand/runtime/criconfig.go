package runtime

import (
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"rollcage/internal/observe/host"
)

// sandboxConfig is the part of the CRI's PodSandboxConfig that is of use, as
// runtimes print and keep it. All keys are those of k8s.io/cri-api.
type sandboxConfig struct {
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
		UID       string `json:"uid"`
	} `json:"metadata"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Linux       struct {
		SecurityContext struct {
			NamespaceOptions struct {
				Network cri.NamespaceMode `json:"network"`
				PID     cri.NamespaceMode `json:"pid"`
				IPC     cri.NamespaceMode `json:"ipc"`
			} `json:"namespace_options"`
		} `json:"security_context"`
	} `json:"linux"`
}

func (s *sandboxConfig) pod(id string) *pod {
	ns := &s.Linux.SecurityContext.NamespaceOptions
	return &pod{
		id: id, name: s.Metadata.Name, namespace: s.Metadata.Namespace, uid: s.Metadata.UID, labels: s.Labels, annotations: s.Annotations,
		hostNetwork: ns.Network == cri.NamespaceMode_NODE, hostPID: ns.PID == cri.NamespaceMode_NODE, hostIPC: ns.IPC == cri.NamespaceMode_NODE,
	}
}

// containerConfig is the part of the CRI's ContainerConfig that is of use.
type containerConfig struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Image struct {
		UserSpecified string `json:"user_specified_image"`
	} `json:"image"`
	Labels map[string]string `json:"labels"`
	Mounts []configMount     `json:"mounts"`
	Linux  struct {
		SecurityContext struct {
			Privileged bool `json:"privileged"`
		} `json:"security_context"`
	} `json:"linux"`
}

type configMount struct {
	ContainerPath string               `json:"container_path"`
	HostPath      string               `json:"host_path"`
	Readonly      bool                 `json:"readonly"`
	Propagation   cri.MountPropagation `json:"propagation"`
}

// apply fills what the container's creator asked for.
func (k *containerConfig) apply(c *host.Container) {
	c.Name = k.Metadata.Name
	c.Labels = k.Labels
	c.Privileged = k.Linux.SecurityContext.Privileged
	c.Mounts = []host.Mount{}
	for _, m := range k.Mounts {
		c.Mounts = append(c.Mounts, host.Mount{
			Source: m.HostPath, Destination: m.ContainerPath, RW: !m.Readonly, Propagation: propagation(m.Propagation),
		})
	}
	if ref := k.Image.UserSpecified; ref != "" && !strings.HasPrefix(ref, "sha256:") {
		setImage(c, ref, c.ImageDigest)
	}
}

// propagation returns the mount option of a mode.
func propagation(m cri.MountPropagation) string {
	switch m {
	case cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER:
		return "rslave"
	case cri.MountPropagation_PROPAGATION_BIDIRECTIONAL:
		return "rshared"
	}
	return "rprivate"
}
