package field

import "rollcage/internal/observe/host"

// k8sFields are the fields of the pod that the event's container is part of,
// from what the container runtime says.
var k8sFields = append([]Def{
	{Name: "k8s.pod.name", Type: str, Flags: Suggested, Scope: ScopeProcess, Doc: "Name of the pod.",
		Example: "k8s.pod.name startswith web-", bind: podLabel("io.kubernetes.pod.name")},
	{Name: "k8s.ns.name", Type: str, Flags: Suggested, Scope: ScopeProcess, Doc: "Namespace of the pod.",
		Example: "k8s.ns.name = kube-system", bind: podLabel("io.kubernetes.pod.namespace")},
	{Name: "k8s.pod.id", Type: str, Flags: Deprecated, Scope: ScopeProcess, Doc: "Old name of k8s.pod.uid.",
		Example: "k8s.pod.id exists", bind: podLabel("io.kubernetes.pod.uid")},
	{Name: "k8s.pod.uid", Type: str, Scope: ScopeProcess, Doc: "Unique id of the pod.",
		Example: "k8s.pod.uid exists", bind: podLabel("io.kubernetes.pod.uid")},
	{Name: "k8s.pod.sandbox_id", Type: str, Scope: ScopeProcess, Doc: "First 12 characters of the id of the pod's sandbox container.",
		Example: "k8s.pod.sandbox_id = 3ad7b26ded6d", bind: containerText(sandboxID)},
	{Name: "k8s.pod.full_sandbox_id", Type: str, Scope: ScopeProcess, Doc: "Whole id of the pod's sandbox container.",
		Example: "k8s.pod.full_sandbox_id startswith 3ad7b26ded6d", bind: containerText(func(c *host.Container) string { return c.PodSandboxID })},
	{Name: "k8s.pod.label", Type: str, Args: argLabel, Scope: ScopeProcess, Doc: "Value of one label of the pod.",
		Example: "k8s.pod.label.app = web", bind: label(podLabels)},
	{Name: "k8s.pod.labels", Type: str, Scope: ScopeProcess, Doc: "Labels of the pod, in the form of container.labels.",
		Example: `k8s.pod.labels contains "app:web"`, bind: allLabels(podLabels)},
	{Name: "k8s.pod.ip", Type: str, Scope: ScopeProcess, Doc: "IPv4 address of the pod.",
		Example: "k8s.pod.ip = 10.244.0.7", bind: containerText(func(c *host.Container) string { return inPod(c, c.IP) })},
	{Name: "k8s.pod.cni.json", Type: str, Scope: ScopeProcess, Doc: "What the network plugin said of the pod, as JSON.",
		Example: "k8s.pod.cni.json contains eth0", bind: containerText(func(c *host.Container) string { return inPod(c, c.CNI) })},
}, goneFields...)

// goneFields are fields of Kubernetes objects that the container runtime knows
// nothing about. They exist so that old rules load.
var goneFields = func() (defs []Def) {
	for _, f := range []struct {
		name  string
		label bool
	}{
		{"k8s.rc.name", false}, {"k8s.rc.id", false}, {"k8s.rc.label", true}, {"k8s.rc.labels", false},
		{"k8s.svc.name", false}, {"k8s.svc.id", false}, {"k8s.svc.label", true}, {"k8s.svc.labels", false},
		{"k8s.ns.id", false}, {"k8s.ns.label", true}, {"k8s.ns.labels", false},
		{"k8s.rs.name", false}, {"k8s.rs.id", false}, {"k8s.rs.label", true}, {"k8s.rs.labels", false},
		{"k8s.deployment.name", false}, {"k8s.deployment.id", false}, {"k8s.deployment.label", true}, {"k8s.deployment.labels", false},
	} {
		d := Def{
			Name: f.name, Type: str, Flags: Deprecated, Scope: ScopeProcess, Doc: "Never has a value.",
			Example: "not " + f.name + " exists", bind: never,
		}
		if f.label {
			d.Args, d.Example = argLabel, "not "+f.name+"[app] exists"
		}
		defs = append(defs, d)
	}
	return defs
}()

// podLabel binds a fact about the pod that its containers carry as a label.
func podLabel(name string) binder {
	return containerText(func(c *host.Container) string { return c.Labels[name] })
}

func podLabels(c *host.Container) map[string]string { return c.PodSandboxLabels }

func sandboxID(c *host.Container) string { return c.PodSandboxID[:min(len(c.PodSandboxID), 12)] }

// inPod returns what is said of a container if it is part of a pod.
func inPod(c *host.Container, s string) string {
	if c.PodSandboxID == "" && !c.IsPodSandbox {
		return ""
	}
	return s
}
