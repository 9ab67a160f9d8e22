package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"pageindex-stack/toolchain/command_plugin/output"
)

// graceOnCancel is how long a cancelled command may take to clean up before it is killed.
const graceOnCancel = 5 * time.Second

var defaultInterpreter = []string{"/bin/sh", "-c"}

// run executes the command to its end. On cancellation the command and all that it started are stopped.
func run(ctx context.Context, command string, process Process, previous Result) (Result, error) {
	interpreter := defaultInterpreter
	if process.Interpreter != nil && len(*process.Interpreter) > 0 {
		interpreter = *process.Interpreter
	}
	dir, err := os.Getwd()
	if process.Dir != nil {
		dir, err = *process.Dir, nil
	}
	if err != nil {
		return Result{}, err
	}

	capture := output.NewCapture(ctx, process.Logging)
	cmd := exec.Command(interpreter[0], append(append([]string{}, interpreter[1:]...), command)...)
	cmd.Dir = dir
	cmd.Env = environment(process, previous)
	cmd.Stdout, cmd.Stderr = capture.Writers()
	if process.Stdin != nil && *process.Stdin != "" {
		cmd.Stdin = strings.NewReader(*process.Stdin)
	}
	err = runInGroup(ctx, cmd)
	capture.Close()
	if err != nil {
		return Result{}, capture.Failure(err, command)
	}

	result := Result{}
	result.Stdout, result.Stderr = capture.Texts()
	err = result.readFiles(dir, process)
	return result, err
}

// environment is the plugin's own, then the resource's, then the previous output; the last one of a name wins.
func environment(process Process, previous Result) []string {
	variables := os.Environ()
	if process.Environment != nil {
		for name, value := range *process.Environment {
			variables = append(variables, name+"="+value)
		}
	}
	if process.AddPreviousOutputInEnv == nil || *process.AddPreviousOutputInEnv {
		if previous.Stdout != "" {
			variables = append(variables, output.PreviousStdout+"="+previous.Stdout)
		}
		if previous.Stderr != "" {
			variables = append(variables, output.PreviousStderr+"="+previous.Stderr)
		}
	}
	return variables
}

// runInGroup gives the command a process group of its own, so that cancellation reaches its children. What a command
// leaves running in the background on purpose stays untouched when it ends by itself.
func runInGroup(ctx context.Context, cmd *exec.Cmd) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// The kernel sends Pdeathsig when the thread that started the child ends, so this thread has to stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	group := -cmd.Process.Pid
	signalGroup(group, syscall.SIGTERM)
	var err error
	select {
	case err = <-ended:
		signalGroup(group, syscall.SIGKILL) // children that outlived their shell
	case <-time.After(graceOnCancel):
		signalGroup(group, syscall.SIGKILL)
		err = <-ended
	}
	return fmt.Errorf("%w (%v)", context.Cause(ctx), err)
}

func signalGroup(group int, signal syscall.Signal) {
	if err := syscall.Kill(group, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		fmt.Fprintf(os.Stderr, "can't send %v to process group %d: %v\n", signal, -group, err)
	}
}
