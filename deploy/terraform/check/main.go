// Checks the Terraform configuration without OpenTofu, which is too large to build for a check and would have to download a
// provider. It checks the format and the references, evaluates the module `policies` and runs its tests. It does not check
// the names and types of resource arguments, which only a provider knows.
//
// Usage: check DIRECTORY. Prints the policies of the first test as JSON, for an IAM linter.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

func main() {
	root := os.Args[1]
	_, err := module(root)
	if err == nil {
		err = policies(filepath.Join(root, "policies"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// parse reads a file and checks that it is formatted.
func parse(path string) (*hclsyntax.Body, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(hclwrite.Format(text), text) {
		return nil, fmt.Errorf("%s is not formatted: tofu fmt", path)
	}
	file, problems := hclparse.NewParser().ParseHCL(text, path)
	if problems.HasErrors() {
		return nil, problems
	}
	return file.Body.(*hclsyntax.Body), nil
}

// module reads a folder and checks that every reference is declared. It returns the names of the module's variables, with
// true for those that have no default.
func module(folder string) (map[string]bool, error) {
	paths, _ := filepath.Glob(filepath.Join(folder, "*.tf"))
	declared, variables, found := map[string]bool{}, map[string]bool{}, []error{}
	var bodies []*hclsyntax.Body
	for _, path := range paths {
		body, err := parse(path)
		if err != nil {
			return nil, err
		}
		bodies = append(bodies, body)
		for _, block := range body.Blocks {
			switch block.Type {
			case "variable":
				declared["var."+block.Labels[0]] = true
				variables[block.Labels[0]] = block.Body.Attributes["default"] == nil
			case "locals":
				for name := range block.Body.Attributes {
					declared["local."+name] = true
				}
			case "resource":
				declared[strings.Join(block.Labels, ".")] = true
			case "data":
				declared["data."+strings.Join(block.Labels, ".")] = true
			case "module":
				declared["module."+block.Labels[0]] = true
				found = append(found, call(folder, block))
			}
		}
	}
	for _, body := range bodies {
		references(body, map[string]bool{"each": true, "count": true}, declared, &found)
	}
	return variables, errors.Join(found...)
}

// call checks that a module call passes all required variables and no unknown ones.
func call(folder string, block *hclsyntax.Block) error {
	source, problems := block.Body.Attributes["source"].Expr.Value(nil)
	if problems.HasErrors() {
		return problems
	}
	wanted, err := module(filepath.Join(folder, source.AsString()))
	found := []error{err}
	for name, required := range wanted {
		if required && block.Body.Attributes[name] == nil {
			found = append(found, fmt.Errorf("module %s is not given %s", block.Labels[0], name))
		}
	}
	for name := range block.Body.Attributes {
		if _, known := wanted[name]; !known && name != "source" && name != "depends_on" && name != "for_each" {
			found = append(found, fmt.Errorf("module %s does not know %s", block.Labels[0], name))
		}
	}
	return errors.Join(found...)
}

func references(body *hclsyntax.Body, scoped, declared map[string]bool, found *[]error) {
	for name, attribute := range body.Attributes {
		for _, traversal := range attribute.Expr.Variables() {
			words := []string{}
			for _, step := range traversal {
				switch step := step.(type) {
				case hcl.TraverseRoot:
					words = append(words, step.Name)
				case hcl.TraverseAttr:
					words = append(words, step.Name)
				}
			}
			length := 2
			if words[0] == "data" {
				length = 3
			}
			// Types and provider settings are not references.
			if scoped[words[0]] || name == "type" || len(words) < length {
				continue
			}
			if reference := strings.Join(words[:length], "."); !declared[reference] {
				*found = append(*found, fmt.Errorf("%s: %s is not declared", attribute.SrcRange, reference))
			}
		}
	}
	for _, block := range body.Blocks {
		inner := scoped
		if block.Type == "dynamic" {
			inner = maps.Clone(scoped)
			inner[block.Labels[0]] = true
		}
		references(block.Body, inner, declared, found)
	}
}

func boolean(parameters []function.Parameter, decide func([]cty.Value) bool) function.Function {
	return function.New(&function.Spec{
		Params: parameters,
		Type:   function.StaticReturnType(cty.Bool),
		Impl:   func(given []cty.Value, _ cty.Type) (cty.Value, error) { return cty.BoolVal(decide(given)), nil },
	})
}

var functions = map[string]function.Function{
	"chunklist": stdlib.ChunklistFunc, "contains": stdlib.ContainsFunc, "flatten": stdlib.FlattenFunc,
	"format": stdlib.FormatFunc, "join": stdlib.JoinFunc, "jsondecode": stdlib.JSONDecodeFunc,
	"jsonencode": stdlib.JSONEncodeFunc, "keys": stdlib.KeysFunc, "range": stdlib.RangeFunc,
	"values": stdlib.ValuesFunc,
	// `length` also counts the characters of a string.
	"length": function.New(&function.Spec{
		Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType}},
		Type:   function.StaticReturnType(cty.Number),
		Impl: func(given []cty.Value, _ cty.Type) (cty.Value, error) {
			if given[0].Type() == cty.String {
				return stdlib.Strlen(given[0])
			}
			return cty.NumberIntVal(int64(given[0].LengthInt())), nil
		},
	}),
	"sort": function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.List(cty.String)}},
		Type:   function.StaticReturnType(cty.List(cty.String)),
		Impl:   func(given []cty.Value, _ cty.Type) (cty.Value, error) { return stdlib.Sort(given[0]) },
	}),
	"alltrue": boolean([]function.Parameter{{Name: "list", Type: cty.List(cty.Bool)}}, func(given []cty.Value) bool {
		return !slices.ContainsFunc(given[0].AsValueSlice(), cty.Value.False)
	}),
	"strcontains": boolean([]function.Parameter{{Name: "text", Type: cty.String}, {Name: "part", Type: cty.String}},
		func(given []cty.Value) bool { return strings.Contains(given[0].AsString(), given[1].AsString()) }),
}

// evaluate computes the outputs of the module from its variables.
func evaluate(body *hclsyntax.Body, given map[string]cty.Value) (cty.Value, error) {
	variables := maps.Clone(given)
	context := func(locals map[string]cty.Value) *hcl.EvalContext {
		return &hcl.EvalContext{Functions: functions, Variables: map[string]cty.Value{
			"var": cty.ObjectVal(variables), "local": cty.ObjectVal(locals),
		}}
	}
	locals, outputs := map[string]cty.Value{}, map[string]cty.Value{}
	for _, block := range body.Blocks {
		if fallback := block.Body.Attributes["default"]; block.Type == "variable" && fallback != nil {
			if _, set := variables[block.Labels[0]]; !set {
				variables[block.Labels[0]], _ = fallback.Expr.Value(nil)
			}
		}
	}
	for _, block := range body.Blocks {
		if block.Type != "locals" {
			continue
		}
		// Repeat until every local value has what it refers to.
		for left := len(block.Body.Attributes) - len(locals); left > 0; {
			var last hcl.Diagnostics
			for name, attribute := range block.Body.Attributes {
				if value, problems := attribute.Expr.Value(context(locals)); problems.HasErrors() {
					last = problems
				} else {
					locals[name] = value
				}
			}
			if now := len(block.Body.Attributes) - len(locals); now == left {
				return cty.NilVal, last
			} else {
				left = now
			}
		}
	}
	for _, block := range body.Blocks {
		if block.Type == "output" {
			value, problems := block.Body.Attributes["value"].Expr.Value(context(locals))
			if problems.HasErrors() {
				return cty.NilVal, problems
			}
			outputs[block.Labels[0]] = value
		}
	}
	return cty.ObjectVal(outputs), nil
}

// policies runs the tests of the module.
func policies(folder string) error {
	body, err := parse(filepath.Join(folder, "main.tf"))
	if err != nil {
		return err
	}
	tests, err := parse(filepath.Join(folder, "policies.tftest.hcl"))
	if err != nil {
		return err
	}
	assertions, found := 0, []error{}
	shared, err := variables(tests, nil)
	if err != nil {
		return err
	}
	for _, run := range tests.Blocks {
		if run.Type != "run" {
			continue
		}
		given, err := variables(run.Body, shared)
		if err != nil {
			return err
		}
		output, err := evaluate(body, given)
		if err != nil {
			return err
		}
		if assertions == 0 {
			text, err := stdlib.JSONEncode(output)
			if err != nil {
				return err
			}
			fmt.Println(text.AsString())
		}
		context := &hcl.EvalContext{Functions: functions, Variables: map[string]cty.Value{"output": output}}
		for _, assert := range run.Body.Blocks {
			if assert.Type != "assert" {
				continue
			}
			assertions++
			holds, problems := assert.Body.Attributes["condition"].Expr.Value(context)
			if problems.HasErrors() {
				return problems
			}
			if !holds.RawEquals(cty.True) {
				message, _ := assert.Body.Attributes["error_message"].Expr.Value(context)
				found = append(found, fmt.Errorf("%s: %s", run.Labels[0], message.AsString()))
			}
		}
	}
	if assertions == 0 {
		return errors.New("no test was run")
	}
	return errors.Join(found...)
}

// variables reads the `variables` blocks and overrides the given values.
func variables(body *hclsyntax.Body, over map[string]cty.Value) (map[string]cty.Value, error) {
	read := maps.Clone(over)
	if read == nil {
		read = map[string]cty.Value{}
	}
	for _, block := range body.Blocks {
		if block.Type == "variables" {
			for name, attribute := range block.Body.Attributes {
				value, problems := attribute.Expr.Value(&hcl.EvalContext{Functions: functions})
				if problems.HasErrors() {
					return nil, problems
				}
				read[name] = value
			}
		}
	}
	return read, nil
}
