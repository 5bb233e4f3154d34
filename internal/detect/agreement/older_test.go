package agreement

import (
	"strings"

	"rollcage/internal/observe/event"
)

// withoutEnters merges the enter event of each system call into its exit event,
// as the upgrade of old captures does: its parameters are appended, and its
// descriptor is that of the call unless the exit event has one.
func withoutEnters(list []record) []record {
	var out []record
	waiting := map[string]record{} // by thread
	for _, r := range list {
		tid := r.get("thread.tid")
		switch {
		case !isCall(r.get("evt.type")):
			out = append(out, r)
		case r.get("evt.dir") == ">":
			waiting[tid] = r
		default:
			if enter := waiting[tid]; enter != nil && enter.get("evt.type") == r.get("evt.type") {
				merge(r, enter)
			}
			delete(waiting, tid)
			out = append(out, r)
		}
	}
	return out
}

// isCall reports whether events of that name come in pairs.
func isCall(name string) bool {
	types := event.Lookup(name)
	return len(types) == 0 || types[0].Origin == event.OriginSyscall
}

func merge(exit, enter record) {
	exit.set("evt.args", strings.TrimSuffix(exit.get("evt.args"), " ")+" "+enter.get("evt.args"))
	if exit.get("fd.num") != missing {
		return
	}
	for i, name := range fields {
		if strings.HasPrefix(name, "fd.") {
			exit[i] = enter[i]
		}
	}
}

// parameters splits the text of all parameters by their names. Of a parameter
// that both events of a call have, it gives that of the exit event.
func parameters(r record, text string) map[string]string {
	names := map[string]bool{}
	for _, info := range event.Lookup(r.get("evt.type")) {
		for i := range info.Params {
			names[info.Params[i].Name] = true
		}
	}
	params, name := map[string]string{}, ""
	for word := range strings.SplitSeq(strings.TrimSuffix(text, " "), " ") {
		key, value, ok := strings.Cut(word, "=")
		_, again := params[key]
		switch {
		case ok && names[key] && again:
			name = ""
		case ok && names[key]:
			name, params[key] = key, value
		case name != "":
			params[name] += " " + word
		}
	}
	return params
}
