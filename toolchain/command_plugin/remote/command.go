package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"golang.org/x/crypto/ssh"

	"pageindex-stack/toolchain/command_plugin/lifecycle"
	"pageindex-stack/toolchain/command_plugin/output"
)

// graceOnCancel is how long a cancelled command may take to clean up before its connection is closed.
const graceOnCancel = 5 * time.Second

const acceptEnvHint = "the SSH server has to list it under AcceptEnv; " +
	"where a shell runs the command, 'NAME=value command' needs no such setting"

// Logging says which of the command's streams appear in the engine's log.
type Logging string

// Values are those of the SDK's enumeration.
func (Logging) Values() []infer.EnumValue[Logging] { return output.LoggingValues[Logging]() }

// Command is the resource `command:remote:Command`.
type Command struct{}

// CommandInputs are the properties that a program sets.
type CommandInputs struct {
	Connection             *Connection        `pulumi:"connection" provider:"secret"`
	Environment            *map[string]string `pulumi:"environment,optional"`
	Stdin                  *string            `pulumi:"stdin,optional"`
	Logging                *Logging           `pulumi:"logging,optional"`
	AddPreviousOutputInEnv *bool              `pulumi:"addPreviousOutputInEnv,optional"`
	lifecycle.Commands
}

// Result is what a command leaves.
type Result struct {
	Stdout string `pulumi:"stdout"`
	Stderr string `pulumi:"stderr"`
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
		return inputs.run(ctx, command, Result{})
	})
	return infer.CreateResponse[CommandState]{ID: id, Output: CommandState{inputs, result}}, err
}

// Update runs `update`, or `create` where there is none.
func (*Command) Update(
	ctx context.Context, req infer.UpdateRequest[CommandInputs, CommandState],
) (infer.UpdateResponse[CommandState], error) {
	inputs, previous := req.Inputs, req.State.Result
	result, err := lifecycle.Update(previous, req.DryRun, inputs.Commands, func(command string) (Result, error) {
		return inputs.run(ctx, command, previous)
	})
	return infer.UpdateResponse[CommandState]{Output: CommandState{inputs, result}}, err
}

// Delete runs `delete`.
func (*Command) Delete(ctx context.Context, req infer.DeleteRequest[CommandState]) (infer.DeleteResponse, error) {
	state := req.State
	return infer.DeleteResponse{}, lifecycle.Delete(state.Commands, func(command string) (Result, error) {
		return state.run(ctx, command, state.Result)
	})
}

func (c *CommandInputs) run(ctx context.Context, command string, previous Result) (Result, error) {
	client, closeClient, err := c.Connection.dial(ctx)
	if err != nil {
		return Result{}, err
	}
	defer closeClient()
	session, err := client.NewSession()
	if err != nil {
		return Result{}, err
	}
	defer session.Close()
	if err := c.setEnvironment(ctx, session, previous); err != nil {
		return Result{}, err
	}
	if c.Stdin != nil && *c.Stdin != "" {
		session.Stdin = strings.NewReader(*c.Stdin)
	}
	capture := output.NewCapture(ctx, c.Logging)
	session.Stdout, session.Stderr = capture.Writers()
	err = runUntilCancelled(ctx, session, closeClient, command)
	capture.Close()
	if err != nil {
		return Result{}, capture.Failure(err, command)
	}
	result := Result{}
	result.Stdout, result.Stderr = capture.Texts()
	return result, nil
}

// setEnvironment fails for a variable that the program asked for and the host refuses. The previous output is an
// offer: few hosts accept it, so a refusal is only worth a warning.
func (c *CommandInputs) setEnvironment(ctx context.Context, session *ssh.Session, previous Result) error {
	if c.Environment != nil {
		for name, value := range *c.Environment {
			if err := session.Setenv(name, value); err != nil {
				return fmt.Errorf("could not set environment variable %q (%s): %w", name, acceptEnvHint, err)
			}
		}
	}
	if !valueOr(c.AddPreviousOutputInEnv, true) {
		return nil
	}
	offers := map[string]string{output.PreviousStdout: previous.Stdout, output.PreviousStderr: previous.Stderr}
	for name, value := range offers {
		if value == "" {
			continue
		}
		if err := session.Setenv(name, value); err != nil {
			p.GetLogger(ctx).Warningf("Unable to set %q: %s", name, acceptEnvHint)
		}
	}
	return nil
}

// runUntilCancelled passes a cancellation on as a signal to the command's process group on the host, and closes the
// connection if that doesn't end it. OpenSSH passes no signals on to what root runs, so there the command may go on.
func runUntilCancelled(ctx context.Context, session *ssh.Session, closeClient func(), command string) error {
	ended := make(chan error, 1)
	go func() { ended <- session.Run(command) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	if err := session.Signal(ssh.SIGTERM); err != nil && !errors.Is(err, io.EOF) {
		p.GetLogger(ctx).Warningf("can't stop the command on the host: %v", err)
	}
	var err error
	select {
	case err = <-ended:
	case <-time.After(graceOnCancel):
		_ = session.Signal(ssh.SIGKILL) // the connection goes next, whatever the answer
		p.GetLogger(ctx).Warning("the host doesn't say that the cancelled command has ended; it may still be running")
		closeClient()
		err = <-ended
	}
	return fmt.Errorf("%w (%v)", context.Cause(ctx), err)
}
