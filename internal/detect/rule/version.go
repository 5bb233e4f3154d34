package rule

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Version is a version in three numbers.
type Version struct{ Major, Minor, Patch uint32 }

// EngineVersion is the version of the rule language that this engine speaks.
var EngineVersion = Version{0, 62, 0}

// ParseVersion reads "x.y.z".
func ParseVersion(s string) (Version, error) {
	var v [3]uint32
	parts := strings.Split(s, ".")
	if len(parts) != len(v) {
		return Version{}, fmt.Errorf("version %q is not of the form x.y.z", s)
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 32)
		if err != nil {
			return Version{}, fmt.Errorf("version %q is not of the form x.y.z", s)
		}
		v[i] = uint32(n)
	}
	return Version{v[0], v[1], v[2]}, nil
}

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// Satisfies reports whether what needs version want works with v: same major
// number and not older.
func (v Version) Satisfies(want Version) bool {
	if v.Minor != want.Minor {
		return v.Major == want.Major && v.Minor > want.Minor
	}
	return v.Major == want.Major && v.Patch >= want.Patch
}

// PluginRequirement is an entry of required_plugin_versions: one of the
// plugins must be there.
type PluginRequirement struct {
	Name         string              `json:"name"`
	Version      string              `json:"version"`
	Alternatives []PluginRequirement `json:"alternatives,omitempty"`
}

func (r *reader) engineVersion(at *where, n *yaml.Node) {
	e := &entry{r: r, node: n, at: at.at(kindEngineVersion, "", r.scalar(n))}
	if s := e.required("required_engine_version"); s != nil {
		v, err := engineVersion(s.node.Value)
		switch {
		case err != nil:
			e.fail(e.at, "Unable to parse engine version '%s' as a semver string. Expected \"x.y.z\" semver format.", s.node.Value)
		case !EngineVersion.Satisfies(v):
			e.invalid(e.at, ErrValidate, "Rules require engine version %s but engine version is %s", v, EngineVersion)
		case r.l.engine == nil || v.Satisfies(*r.l.engine):
			r.l.engine = &v
		}
	}
	e.unknownKeys("required_engine_version")
}

// engineVersion reads a number N, which means 0.N.0, or a version.
func engineVersion(s string) (Version, error) {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return Version{Minor: uint32(n)}, nil
	}
	return ParseVersion(s)
}

func (r *reader) pluginVersions(at *where, n *yaml.Node) {
	e := &entry{r: r, node: n, at: at.at(kindPluginVersions, "", r.scalar(n))}
	list := e.value("required_plugin_versions")
	if list.Kind != yaml.SequenceNode {
		e.fail(e.below(kindValue, "required_plugin_versions", list), "Value is not a sequence")
		return
	}
	for _, c := range list.Content {
		r.pluginEntry(e.at, resolve(c))
	}
	e.unknownKeys("required_plugin_versions")
}

// pluginEntry reads one requirement with its alternatives.
func (r *reader) pluginEntry(at *where, n *yaml.Node) {
	e := &entry{r: r, node: n, at: at.at(kindPluginEntry, "", r.scalar(n))}
	req := e.plugin()
	names := map[string]bool{req.Name: true}
	if alts := e.value("alternatives"); alts != nil {
		if alts.Kind != yaml.SequenceNode {
			e.fail(e.below(kindValue, "alternatives", alts), "Value is not a sequence")
			return
		}
		for _, c := range alts.Content {
			c = resolve(c)
			a := &entry{r: r, node: c, at: e.at.at(kindPluginAlt, "", r.scalar(c))}
			alt := a.plugin()
			if names[alt.Name] && !a.failed {
				a.invalid(a.at, ErrValidate, "Plugin '%s' is named twice in one requirement", alt.Name)
			}
			names[alt.Name] = true
			req.Alternatives = append(req.Alternatives, alt)
			e.failed = e.failed || a.failed
			a.unknownKeys("name", "version")
		}
	}
	e.unknownKeys("name", "version", "alternatives")
	if !e.failed {
		r.l.plugins = append(r.l.plugins, pluginNeed{req, e.at})
	}
}

// plugin reads name and version.
func (e *entry) plugin() PluginRequirement {
	if e.node.Kind != yaml.MappingNode {
		e.fail(e.at, "Unexpected element type. Each element should be a yaml associative array.")
		return PluginRequirement{}
	}
	name, version := e.required("name"), e.required("version")
	if name == nil || version == nil {
		return PluginRequirement{}
	}
	e.at.name = name.node.Value
	if _, err := ParseVersion(version.node.Value); err != nil {
		e.invalid(e.below(kindValue, "version", version.node), ErrValidate, "Unable to read the required plugin version: %v", err)
	}
	return PluginRequirement{Name: name.node.Value, Version: version.node.Value}
}

// pluginNeed is a requirement and where it is written.
type pluginNeed struct {
	PluginRequirement
	at *where
}

// checkPlugins reports the requirements that no plugin satisfies. The container
// plugin's work is done by Rollcage itself, so it is there in every version.
func (l *loader) checkPlugins() {
	for _, need := range l.plugins {
		one := append([]PluginRequirement{need.PluginRequirement}, need.Alternatives...)
		var words []string
		met := false
		for _, p := range one {
			want, _ := ParseVersion(p.Version)
			have, ok := l.opts.Plugins[p.Name]
			met = met || p.Name == "container" || ok && have.Satisfies(want)
			words = append(words, fmt.Sprintf("%s (>= %s)", p.Name, p.Version))
		}
		if !met {
			l.problem(need.at, ErrValidate,
				"Plugin requirement not satisfied, must load one of: %s", strings.Join(words, ", "))
		}
	}
}
