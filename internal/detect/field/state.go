package field

import "rollcage/internal/observe/host"

// hostname returns the name of the host that the event is from.
func hostname(*host.Event) (string, bool) { return hostnameOverride, hostnameOverride != "" }
