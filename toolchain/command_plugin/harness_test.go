package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blang/semver"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/integration"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

const (
	localCommand  = "command:local:Command"
	remoteCommand = "command:remote:Command"
	copyToRemote  = "command:remote:CopyToRemote"
	deadline      = 20 * time.Second
)

type props = map[string]property.Value

var text = property.New[string]

func list(items ...string) property.Value {
	values := make([]property.Value, len(items))
	for i, item := range items {
		values[i] = text(item)
	}
	return property.New(values)
}

// engine does with the provider what Pulumi's engine does.
type engine struct {
	*testing.T
	server integration.Server
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	provider, err := newProvider()
	if err != nil {
		t.Fatal(err)
	}
	server, err := integration.NewServer(
		context.Background(), "command", semver.MustParse("1.2.1"), integration.WithProvider(provider),
	)
	if err != nil {
		t.Fatal(err)
	}
	return &engine{t, server}
}

func urn(kind string) resource.URN {
	return resource.URN("urn:pulumi:test::project::" + kind + "::name")
}

// wire does what the way between engine and provider does: an asset's object becomes an asset again.
func (e *engine) wire(values property.Map) property.Map {
	e.Helper()
	options := plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true, ComputeAssetHashes: false}
	sent, err := plugin.MarshalProperties(
		resource.ToResourcePropertyValue(property.New(values)).ObjectValue(), options,
	)
	if err != nil {
		e.Fatal(err)
	}
	received, err := plugin.UnmarshalProperties(sent, options)
	if err != nil {
		e.Fatal(err)
	}
	return resource.FromResourcePropertyValue(resource.NewProperty(received)).AsMap()
}

func (e *engine) check(kind string, inputs props) p.CheckResponse {
	e.Helper()
	checked, err := e.server.Check(p.CheckRequest{Urn: urn(kind), Inputs: property.NewMap(inputs)})
	if err != nil {
		e.Fatal(err)
	}
	checked.Inputs = e.wire(checked.Inputs)
	return checked
}

func (e *engine) create(kind string, inputs props) (p.CreateResponse, error) {
	e.Helper()
	checked := e.check(kind, inputs)
	if len(checked.Failures) > 0 {
		e.Fatalf("check: %v", checked.Failures)
	}
	created, err := e.server.Create(p.CreateRequest{Urn: urn(kind), Properties: checked.Inputs})
	created.Properties = e.wire(created.Properties)
	return created, err
}

func (e *engine) mustCreate(kind string, inputs props) property.Map {
	e.Helper()
	created, err := e.create(kind, inputs)
	if err != nil {
		e.Fatal(err)
	}
	if created.ID == "" {
		e.Fatal("created without an id")
	}
	return created.Properties
}

func (e *engine) mustUpdate(kind string, state property.Map, inputs props) property.Map {
	e.Helper()
	updated, err := e.server.Update(p.UpdateRequest{
		Urn: urn(kind), ID: "id", State: state, Inputs: e.check(kind, inputs).Inputs,
	})
	if err != nil {
		e.Fatal(err)
	}
	return e.wire(updated.Properties)
}

func (e *engine) mustDelete(kind string, state property.Map) {
	e.Helper()
	if err := e.server.Delete(p.DeleteRequest{Urn: urn(kind), ID: "id", Properties: state}); err != nil {
		e.Fatal(err)
	}
}

func (e *engine) expect(state property.Map, key, want string) {
	e.Helper()
	if got := state.Get(key); !got.IsString() || got.AsString() != want {
		e.Errorf("%s: got %v, expected %q", key, got, want)
	}
}

func (e *engine) expectFile(path, want string) {
	e.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		e.Fatal(err)
	}
	if string(got) != want {
		e.Errorf("%s: got %q, expected %q", path, got, want)
	}
}

func (e *engine) expectNoFile(path string) {
	e.Helper()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		e.Errorf("%s is there (%v)", path, err)
	}
}

func (e *engine) expectError(err error, parts ...string) {
	e.Helper()
	if err == nil {
		e.Fatal("there is no error")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			e.Errorf("the error doesn't say %q: %v", part, err)
		}
	}
}

func (e *engine) expectRefusal(kind string, inputs props, field, reason string) {
	e.Helper()
	for _, failure := range e.check(kind, inputs).Failures {
		if failure.Property == field && strings.Contains(failure.Reason, reason) {
			return
		}
	}
	e.Errorf("%s isn't refused because of %q", field, reason)
}

// eventually polls, because a test must not depend on how fast this machine is today.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("not within %v: %s", deadline, what)
}

// logged collects what the provider logs while work runs.
func logged(work func()) string {
	buffer := &lockedBuffer{}
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(buffer, nil)))
	defer slog.SetDefault(before)
	work()
	return buffer.String()
}

type lockedBuffer struct {
	lock   sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(chunk []byte) (int, error) {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.buffer.Write(chunk)
}

func (b *lockedBuffer) String() string {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.buffer.String()
}
