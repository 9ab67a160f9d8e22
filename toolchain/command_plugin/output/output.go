// Package output collects what a command prints: as the resource's outputs, for its error message, and line by line,
// while it runs, for the engine's log.
package output

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
)

// The environment variables that carry the previous run's output.
const (
	PreviousStdout = "PULUMI_COMMAND_STDOUT"
	PreviousStderr = "PULUMI_COMMAND_STDERR"
)

// longestLogLine is where a line without an end is shown in pieces, so that a progress bar doesn't fill the memory.
const longestLogLine = 16 * 1024

// Values of the SDK's two enumerations called Logging.
const (
	logStdout          = "stdout"
	logStderr          = "stderr"
	logStdoutAndStderr = "stdoutAndStderr"
	logNone            = "none"
)

// LoggingValues describes the values to the schema.
func LoggingValues[T ~string]() []infer.EnumValue[T] {
	return []infer.EnumValue[T]{
		{Name: logStdout, Value: logStdout, Description: "Capture stdout in logs but not stderr"},
		{Name: logStderr, Value: logStderr, Description: "Capture stderr in logs but not stdout"},
		{Name: logStdoutAndStderr, Value: logStdoutAndStderr, Description: "Capture stdout and stderr in logs"},
		{Name: logNone, Value: logNone, Description: "Capture no logs"},
	}
}

// CheckLogging refuses what is no value of the enumeration; without it a typo would silently mean "none".
func CheckLogging[T ~string](logging *T) []p.CheckFailure {
	if logging == nil {
		return nil
	}
	switch *logging {
	case logStdout, logStderr, logStdoutAndStderr, logNone, "": // "" stands for a value that isn't known yet
		return nil
	}
	return []p.CheckFailure{{
		Property: "logging",
		Reason:   fmt.Sprintf("%q is none of stdout, stderr, stdoutAndStderr and none", string(*logging)),
	}}
}

// Capture is written to by both streams of a command, at the same time.
type Capture struct {
	lock           sync.Mutex
	stdout, stderr stream
	both           bytes.Buffer
	log            func(line string)
}

type stream struct {
	capture *Capture
	text    bytes.Buffer
	logged  bool
	pending []byte
}

// NewCapture logs what logging names, and both streams where it is nil.
func NewCapture[T ~string](ctx context.Context, logging *T) *Capture {
	which := logStdoutAndStderr
	if logging != nil && *logging != "" {
		which = string(*logging)
	}
	capture := &Capture{log: p.GetLogger(ctx).InfoStatus}
	capture.stdout = stream{capture: capture, logged: which == logStdout || which == logStdoutAndStderr}
	capture.stderr = stream{capture: capture, logged: which == logStderr || which == logStdoutAndStderr}
	return capture
}

// Writers are for the command's standard output and standard error.
func (c *Capture) Writers() (stdout, stderr io.Writer) { return &c.stdout, &c.stderr }

// Close logs a last line that has no line end. The command must have ended.
func (c *Capture) Close() {
	c.lock.Lock()
	defer c.lock.Unlock()
	for _, s := range []*stream{&c.stdout, &c.stderr} {
		if len(s.pending) > 0 {
			c.log(string(s.pending))
			s.pending = nil
		}
	}
}

// Texts are the outputs, without the one line end that nearly every command prints last.
func (c *Capture) Texts() (stdout, stderr string) {
	c.lock.Lock()
	defer c.lock.Unlock()
	return strings.TrimSuffix(c.stdout.text.String(), "\n"), strings.TrimSuffix(c.stderr.text.String(), "\n")
}

// Failure says how the command ended, which command it was, and all that it printed, in the order it printed it.
func (c *Capture) Failure(err error, command string) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	return fmt.Errorf("%w: running %q:\n%s", err, command, c.both.String())
}

func (s *stream) Write(chunk []byte) (int, error) {
	s.capture.lock.Lock()
	defer s.capture.lock.Unlock()
	s.text.Write(chunk)
	s.capture.both.Write(chunk)
	if !s.logged {
		return len(chunk), nil
	}
	s.pending = append(s.pending, chunk...)
	for {
		end := bytes.IndexByte(s.pending, '\n')
		next := end + 1
		if end < 0 {
			if len(s.pending) < longestLogLine {
				return len(chunk), nil
			}
			end, next = longestLogLine, longestLogLine
		}
		s.capture.log(strings.TrimSuffix(string(s.pending[:end]), "\r"))
		s.pending = s.pending[next:]
	}
}
