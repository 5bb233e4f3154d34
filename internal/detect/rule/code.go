package rule

// Code names a kind of error or warning. The names are those that Falco's
// tools print and that scripts look for.
type Code uint8

// The errors.
const (
	ErrFileRead Code = iota
	ErrYAMLParse
	ErrYAMLValidate
	ErrCompileCondition
	ErrCompileOutput
	ErrValidate
	ErrExtension
)

// The warnings.
const (
	UnknownSource Code = iota + ErrExtension + 1
	UnsafeNACheck
	NoEventType
	UnknownFilter
	UnusedMacro
	UnusedList
	UnknownItem
	DeprecatedItem
	WarningExtension
	AppendNoValues
	ExceptionNameNotUnique
	InvalidMacroName
	InvalidListName
	CompileCondition
	UnknownKey
	// Advice is not one of Falco's: what LoadOptions.Advise finds. Problem.Topic says what kind.
	Advice
)

// codes holds name, short text and, for warnings, what it means for the
// writer of the rule.
var codes = [...]struct{ name, short, long string }{
	ErrFileRead:         {"LOAD_ERR_FILE_READ", "File read error", ""},
	ErrYAMLParse:        {"LOAD_ERR_YAML_PARSE", "YAML parse error", ""},
	ErrYAMLValidate:     {"LOAD_ERR_YAML_VALIDATE", "Error validating internal structure of YAML file", ""},
	ErrCompileCondition: {"LOAD_ERR_COMPILE_CONDITION", "Error compiling condition", ""},
	ErrCompileOutput:    {"LOAD_ERR_COMPILE_OUTPUT", "Error compiling output", ""},
	ErrValidate:         {"LOAD_ERR_VALIDATE", "Error validating rule/macro/list/exception objects", ""},
	ErrExtension:        {"LOAD_ERR_EXTENSION", "Error in extension item", ""},

	UnknownSource: {"LOAD_UNKNOWN_SOURCE", "Unknown event source",
		"The rule is for a source of events that is not there. It never runs."},
	UnsafeNACheck: {"LOAD_UNSAFE_NA_CHECK", "Unsafe <NA> comparison in condition",
		"The condition compares with <NA>, which is only how a missing value is printed. Test with exists instead."},
	NoEventType: {"LOAD_NO_EVTTYPE", "Condition has no event-type restriction",
		"The condition can match nearly every event and costs time on each. Name the types it is about with evt.type."},
	UnknownFilter: {"LOAD_UNKNOWN_FILTER", "Unknown field or event-type in condition or output",
		"The rule uses a field or event type that is not known and asks to be skipped in that case."},
	UnusedMacro: {"LOAD_UNUSED_MACRO", "Unused macro",
		"No rule and no macro uses the macro."},
	UnusedList: {"LOAD_UNUSED_LIST", "Unused list",
		"No rule, macro or list uses the list."},
	UnknownItem: {"LOAD_UNKNOWN_ITEM", "Unknown rules file item",
		"The item is none of rule, macro, list, required_engine_version, required_plugin_versions. It is ignored."},
	DeprecatedItem: {"LOAD_DEPRECATED_ITEM", "Used deprecated item",
		"The item still works and will go away."},
	WarningExtension: {"LOAD_WARNING_EXTENSION", "Warning in extension item",
		"An extension item gave a warning."},
	AppendNoValues: {"LOAD_APPEND_NO_VALUES", "Overriding/appending with no values",
		"The exception adds no values, so nothing is appended."},
	ExceptionNameNotUnique: {"LOAD_EXCEPTION_NAME_NOT_UNIQUE", "Multiple exceptions defined with the same name",
		"Later exceptions of that name cannot be told apart from the first, for instance when values are appended."},
	InvalidMacroName: {"LOAD_INVALID_MACRO_NAME", "Invalid macro name",
		"A condition cannot refer to a macro of that name."},
	InvalidListName: {"LOAD_INVALID_LIST_NAME", "Invalid list name",
		"A condition cannot refer to a list of that name."},
	CompileCondition: {"LOAD_COMPILE_CONDITION", "Warning in rule condition",
		"The condition is valid and probably does not say what was meant, or costs more than it needs to."},
	UnknownKey: {"LOAD_UNKNOWN_KEY", "Unknown key in item definition",
		"The key is not one of this item's. It is ignored."},
	Advice: {"ADVICE", "Advice to the author",
		"The rule is valid and hardly means what it says. docs/rule-warnings.md explains each kind."},
}

// String returns the name, for instance LOAD_ERR_VALIDATE.
func (c Code) String() string {
	if int(c) < len(codes) {
		return codes[c].name
	}
	return "LOAD_UNKNOWN"
}

// Short returns a few words that say what the code is about.
func (c Code) Short() string { return codes[c].short }

// Long returns a sentence for warnings, and the short text for errors.
func (c Code) Long() string {
	if c.IsError() {
		return codes[c].short
	}
	return codes[c].long
}

// IsError reports whether the code is an error; all others are warnings.
func (c Code) IsError() bool { return c <= ErrExtension }
