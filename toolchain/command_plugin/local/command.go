// Package local runs commands on the machine that the engine runs on.
package local

import (
	"context"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi-go-provider/infer/types"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"pageindex-stack/toolchain/command_plugin/lifecycle"
	"pageindex-stack/toolchain/command_plugin/output"
)

// Logging says which of the command's streams appear in the engine's log.
type Logging string

// Values are those of the SDK's enumeration.
func (Logging) Values() []infer.EnumValue[Logging] { return output.LoggingValues[Logging]() }

// Process is what Command and Run have in common: how a command is started and which files are read afterwards.
type Process struct {
	Interpreter            *[]string          `pulumi:"interpreter,optional"`
	Dir                    *string            `pulumi:"dir,optional"`
	Environment            *map[string]string `pulumi:"environment,optional"`
	Stdin                  *string            `pulumi:"stdin,optional"`
	Logging                *Logging           `pulumi:"logging,optional"`
	AddPreviousOutputInEnv *bool              `pulumi:"addPreviousOutputInEnv,optional"`
	AssetPaths             *[]string          `pulumi:"assetPaths,optional"`
	ArchivePaths           *[]string          `pulumi:"archivePaths,optional"`
}

// Result is what a command leaves.
type Result struct {
	Stdout  string                           `pulumi:"stdout"`
	Stderr  string                           `pulumi:"stderr"`
	Assets  *map[string]types.AssetOrArchive `pulumi:"assets,optional"`
	Archive *resource.Archive                `pulumi:"archive,optional"`
}

// Command is the resource `command:local:Command`.
type Command struct{}

// CommandInputs are the properties that a program sets.
type CommandInputs struct {
	Process
	lifecycle.Commands
}

// CommandState is what the stack remembers.
type CommandState struct {
	CommandInputs
	Result
}

// Check refuses an unknown value of logging; the framework checks names and types.
func (*Command) Check(ctx context.Context, req infer.CheckRequest) (infer.CheckResponse[CommandInputs], error) {
	inputs, failures, err := infer.DefaultCheck[CommandInputs](ctx, req.NewInputs)
	failures = append(failures, output.CheckLogging(inputs.Logging)...)
	return infer.CheckResponse[CommandInputs]{Inputs: inputs, Failures: failures}, err
}

// Create runs `create`. A preview runs nothing.
func (*Command) Create(
	ctx context.Context, req infer.CreateRequest[CommandInputs],
) (infer.CreateResponse[CommandState], error) {
	inputs := req.Inputs
	id, result, err := lifecycle.Create(req.Name, req.DryRun, inputs.Commands, func(command string) (Result, error) {
		return run(ctx, command, inputs.Process, Result{})
	})
	return infer.CreateResponse[CommandState]{ID: id, Output: CommandState{inputs, result}}, err
}

// Update runs `update`, or `create` where there is none.
func (*Command) Update(
	ctx context.Context, req infer.UpdateRequest[CommandInputs, CommandState],
) (infer.UpdateResponse[CommandState], error) {
	inputs, previous := req.Inputs, req.State.Result
	result, err := lifecycle.Update(previous, req.DryRun, inputs.Commands, func(command string) (Result, error) {
		return run(ctx, command, inputs.Process, previous)
	})
	return infer.UpdateResponse[CommandState]{Output: CommandState{inputs, result}}, err
}

// Delete runs `delete`.
func (*Command) Delete(ctx context.Context, req infer.DeleteRequest[CommandState]) (infer.DeleteResponse, error) {
	state := req.State
	return infer.DeleteResponse{}, lifecycle.Delete(state.Commands, func(command string) (Result, error) {
		return run(ctx, command, state.Process, state.Result)
	})
}

// Run is the function `command:local:run`: a command that runs whenever the program does, previews included.
type Run struct{}

// RunInputs are the function's arguments.
type RunInputs struct {
	Process
	Command string `pulumi:"command"`
}

// RunOutputs repeat the arguments, as the SDK expects.
type RunOutputs struct {
	RunInputs
	Result
}

// Annotate gives the function the SDK's token.
func (r *Run) Annotate(a infer.Annotator) { a.SetToken("local", "run") }

// Invoke runs the command.
func (*Run) Invoke(
	ctx context.Context, req infer.FunctionRequest[RunInputs],
) (infer.FunctionResponse[RunOutputs], error) {
	if failures := output.CheckLogging(req.Input.Logging); len(failures) > 0 {
		return infer.FunctionResponse[RunOutputs]{}, &checkError{failures[0]}
	}
	result, err := run(ctx, req.Input.Command, req.Input.Process, Result{})
	return infer.FunctionResponse[RunOutputs]{Output: RunOutputs{RunInputs: req.Input, Result: result}}, err
}

type checkError struct{ failure p.CheckFailure }

func (e *checkError) Error() string { return e.failure.Property + ": " + e.failure.Reason }
