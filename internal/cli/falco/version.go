package falco

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"golang.org/x/sys/unix"

	"rollcage/internal/detect/rule"
)

// The versions that scripts and rules ask for: those of the Falco whose
// behaviour this is, and 0.0.0 for parts of it that are not there.
const (
	falcoVersion  = "0.44.1"
	libsVersion   = "0.0.0-rollcage"
	pluginAPI     = "3.12.0"
	driverAPI     = "10.0.0"
	driverSchema  = "4.3.0"
	driverVersion = "0.0.0-rollcage"
)

// versions are what --version and /versions show, sorted as JSON has them.
type versions struct {
	DefaultDriver string `json:"default_driver_version"`
	DriverAPI     string `json:"driver_api_version"`
	DriverSchema  string `json:"driver_schema_version"`
	Engine        string `json:"engine_version"`
	EngineSemver  string `json:"engine_version_semver"`
	Falco         string `json:"falco_version"`
	Libs          string `json:"libs_version"`
	PluginAPI     string `json:"plugin_api_version"`
	Rollcage      string `json:"rollcage_version"`
}

func currentVersions(own string) versions {
	return versions{
		driverVersion, driverAPI, driverSchema, strconv.Itoa(int(rule.EngineVersion.Minor)), rule.EngineVersion.String(),
		falcoVersion, libsVersion, pluginAPI, own,
	}
}

func (v versions) text() string {
	return fmt.Sprintf("Falco version: %s\nLibs version:  %s\nPlugin API:    %s\nEngine:        %s\n"+
		"Driver:\n  API version:    %s\n  Schema version: %s\n  Default driver: %s\nRollcage:      %s\n",
		v.Falco, v.Libs, v.PluginAPI, v.EngineSemver, v.DriverAPI, v.DriverSchema, v.DefaultDriver, v.Rollcage)
}

// machine is the uname(2) of the host.
type machine struct {
	Machine  string `json:"machine"`
	NodeName string `json:"nodename"`
	Release  string `json:"release"`
	SysName  string `json:"sysname"`
	Version  string `json:"version"`
}

func thisMachine() machine {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return machine{}
	}
	text := func(b [65]byte) string {
		t, _, _ := bytes.Cut(b[:], []byte{0})
		return string(t)
	}
	return machine{text(u.Machine), text(u.Nodename), text(u.Release), text(u.Sysname), text(u.Version)}
}

// supportInfo is what --support prints.
type supportInfo struct {
	Cmdline    string        `json:"cmdline"`
	Config     string        `json:"config"`
	EngineInfo versions      `json:"engine_info"`
	RulesFiles []supportFile `json:"rules_files"`
	System     machine       `json:"system_info"`
	Version    string        `json:"version"`
}

type supportFile struct {
	Name     string           `json:"name"`
	Variants []supportVariant `json:"variants"`
}

type supportVariant struct {
	Content string `json:"content"`
}

// writeJSON writes v as one line in which < and & stay as they are.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
