package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

func TestARemoteCommandRunsWithAKeyAndKeepsBothStreams(t *testing.T) {
	e, key := newEngine(t), newKey(t)
	host := startSSHD(t, key)
	state := e.mustCreate(remoteCommand, props{
		"connection": host.with(key), "create": text("echo out; echo err >&2; cat"), "stdin": text("in"),
	})
	e.expect(state, "stdout", "out\nin")
	e.expect(state, "stderr", "err")
}

func TestTheConnectionIsAlwaysSecret(t *testing.T) {
	e, key := newEngine(t), newKey(t)
	host := startSSHD(t, key)
	inputs := props{"connection": host.with(key), "create": text("echo open")}
	if !e.check(remoteCommand, inputs).Inputs.Get("connection").Secret() {
		t.Error("the checked inputs show the key")
	}
	state := e.mustCreate(remoteCommand, inputs)
	if !state.Get("connection").Secret() {
		t.Error("the state shows the key")
	}
	if state.Get("stdout").Secret() {
		t.Error("the output became a secret")
	}
}

func TestARemotePreviewConnectsNowhere(t *testing.T) {
	e := newEngine(t)
	closed := property.New(props{"host": text("127.0.0.1"), "port": property.New(1.0)})
	for _, kind := range []string{remoteCommand, copyToRemote} {
		inputs := props{"connection": closed, "create": text("true")}
		if kind == copyToRemote {
			inputs = props{"connection": closed, "remotePath": text("/x"), "source": fileAsset(t, "x")}
		}
		request := p.CreateRequest{Urn: urn(kind), Properties: property.NewMap(inputs), DryRun: true}
		if _, err := e.server.Create(request); err != nil {
			t.Error(kind, err)
		}
	}
}

func TestTheDefaultsOfAConnectionAreTheSDKs(t *testing.T) {
	checked := newEngine(t).check(remoteCommand, props{"connection": property.New(props{"host": text("h")})})
	connection := checked.Inputs.Get("connection").AsMap()
	if connection.Get("user").AsString() != "root" || connection.Get("port").AsNumber() != 22 ||
		connection.Get("dialErrorLimit").AsNumber() != 10 || connection.Get("perDialTimeout").AsNumber() != 15 {
		t.Error(connection)
	}
}

func TestAConnectionNeedsAHost(t *testing.T) {
	e := newEngine(t)
	e.expectRefusal(remoteCommand, props{"connection": property.New(props{})}, "connection", "host")
	e.expectRefusal(remoteCommand, props{"create": text("x")}, "connection", "")
}

func TestTheExpectedHostKeyIsAcceptedInBothSpellings(t *testing.T) {
	e, key := newEngine(t), newKey(t)
	host := startSSHD(t, key)
	for _, spelling := range []string{host.hostKey, host.hostKey + " root@host\n", "[127.0.0.1]:22 " + host.hostKey} {
		connection := property.New(host.connection(props{"privateKey": text(key.pem), "hostKey": text(spelling)}))
		e.expect(e.mustCreate(remoteCommand, props{"connection": connection, "create": text("echo ok")}), "stdout", "ok")
	}
}

func TestAnotherHostKeyIsRefusedAtOnce(t *testing.T) {
	e, key, marker := newEngine(t), newKey(t), filepath.Join(t.TempDir(), "ran")
	host := startSSHD(t, key)
	connection := host.connection(props{
		"privateKey": text(key.pem), "hostKey": text(newKey(t).public), "dialErrorLimit": property.New(-1.0),
	})
	_, err := e.create(remoteCommand, props{"connection": property.New(connection), "create": text("touch " + marker)})
	e.expectError(err, "host key SHA256:", "expected SHA256:", "after 1 attempts")
	e.expectNoFile(marker)
}

func TestSettingsThatCannotWorkAreRefusedByName(t *testing.T) {
	e, key := newEngine(t), newKey(t)
	host := startSSHD(t, key)
	for property_, value := range map[string]string{
		"hostKey": "nonsense", "privateKey": "nonsense", "agentSocketPath": "/no/such/socket",
	} {
		connection := property.New(host.connection(props{property_: text(value)}))
		_, err := e.create(remoteCommand, props{"connection": connection, "create": text("true")})
		e.expectError(err, map[string]string{"agentSocketPath": "agent"}[property_])
		if property_ != "agentSocketPath" {
			e.expectError(err, property_)
		}
	}
}

func TestAKeyWithAPasswordNeedsIt(t *testing.T) {
	e, key := newEngine(t), newKey(t)
	host := startSSHD(t, key)
	unlocked := host.connection(props{"privateKey": text(key.locked), "privateKeyPassword": text(keyPassword)})
	e.mustCreate(remoteCommand, props{"connection": property.New(unlocked), "create": text("true")})
	for _, password := range []props{{}, {"privateKeyPassword": text("wrong")}} {
		password["privateKey"] = text(key.locked)
		connection := property.New(host.connection(password))
		_, err := e.create(remoteCommand, props{"connection": connection, "create": text("true")})
		e.expectError(err, "privateKey")
	}
}

func TestTheAgentsKeyIsUsed(t *testing.T) {
	e, key := newEngine(t), newKey(t)
	host, socket := startSSHD(t, key), startAgent(t, key)
	named := property.New(host.connection(props{"agentSocketPath": text(socket)}))
	e.mustCreate(remoteCommand, props{"connection": named, "create": text("true")})
	unnamed := property.New(host.connection(props{}))
	t.Setenv("SSH_AUTH_SOCK", socket)
	e.mustCreate(remoteCommand, props{"connection": unnamed, "create": text("true")})
	t.Setenv("SSH_AUTH_SOCK", startAgent(t, newKey(t)))
	_, err := e.create(remoteCommand, props{"connection": unnamed, "create": text("true")})
	e.expectError(err, "unable to authenticate")
}

func TestAPasswordIsGivenInBothWays(t *testing.T) {
	e := newEngine(t)
	for _, asQuestion := range []bool{false, true} {
		port := startPasswordServer(t, "open sesame", asQuestion)
		connection := func(password string) property.Value {
			return property.New(props{
				"host": text("127.0.0.1"), "port": property.New(float64(port)), "user": text("somebody"),
				"password": text(password), "dialErrorLimit": property.New(0.0),
			})
		}
		state := e.mustCreate(remoteCommand, props{"connection": connection("open sesame"), "create": text("x")})
		e.expect(state, "stdout", "welcome")
		_, err := e.create(remoteCommand, props{"connection": connection("wrong"), "create": text("x")})
		e.expectError(err, "unable to authenticate")
	}
}

func TestAHostThatComesUpLateIsWaitedFor(t *testing.T) {
	e, key := newEngine(t), newKey(t)
	host := prepareSSHD(t, key)
	connection := property.New(host.connection(props{"privateKey": text(key.pem), "dialErrorLimit": property.New(-1.0)}))
	created, log := make(chan error, 1), ""
	log = logged(func() {
		go func() {
			_, err := e.create(remoteCommand, props{"connection": connection, "create": text("true")})
			created <- err
		}()
		time.Sleep(300 * time.Millisecond) // some attempts have to fail; how many doesn't matter
		host.start()
		if err := <-created; err != nil {
			t.Fatal(err)
		}
	})
	if !strings.Contains(log, "doesn't answer yet") {
		t.Errorf("the attempts aren't logged: %s", log)
	}
}

func TestAfterTheLimitOfErrorsItFails(t *testing.T) {
	e, key := newEngine(t), newKey(t)
	host := prepareSSHD(t, key)
	connection := property.New(host.connection(props{"privateKey": text(key.pem), "dialErrorLimit": property.New(2.0)}))
	_, err := e.create(remoteCommand, props{"connection": connection, "create": text("true")})
	e.expectError(err, "after 3 attempts", "connection refused", host.address())
}

func TestAHostThatAcceptsAndSaysNothingTimesOut(t *testing.T) {
	e := newEngine(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	connection := property.New(props{
		"host": text("127.0.0.1"), "port": property.New(float64(listener.Addr().(*net.TCPAddr).Port)),
		"dialErrorLimit": property.New(0.0), "perDialTimeout": property.New(1.0),
	})
	started := time.Now()
	_, err = e.create(remoteCommand, props{"connection": connection, "create": text("true")})
	e.expectError(err, context.DeadlineExceeded.Error())
	if time.Since(started) > deadline {
		t.Error("it hung")
	}
}

func TestAProxyIsGoneThroughAndItsErrorsSaySo(t *testing.T) {
	e, key, proxyKey := newEngine(t), newKey(t), newKey(t)
	host, proxy := startSSHD(t, key), startSSHD(t, proxyKey)
	through := func(proxyKey keyPair) property.Value {
		return property.New(host.connection(props{
			"privateKey": text(key.pem), "hostKey": text(host.hostKey),
			"proxy": property.New(proxy.connection(props{"privateKey": text(proxyKey.pem), "hostKey": text(proxy.hostKey)})),
		}))
	}
	state := e.mustCreate(remoteCommand, props{"connection": through(proxyKey), "create": text("echo $SSH_CONNECTION")})
	if !strings.HasSuffix(state.Get("stdout").AsString(), strconv.Itoa(host.port)) {
		t.Error(state.Get("stdout"))
	}
	if !strings.Contains(proxy.log.String(), "Accepted publickey") {
		t.Errorf("the proxy wasn't used: %s", proxy.log.String())
	}
	_, err := e.create(remoteCommand, props{"connection": through(newKey(t)), "create": text("true")})
	e.expectError(err, "proxy: ", "unable to authenticate")
}

func TestARemoteEnvironmentIsTakenLiterallyWhereTheHostAcceptsIt(t *testing.T) {
	e, key := newEngine(t), newKey(t)
	host := startSSHD(t, key, "AcceptEnv GREETING PULUMI_COMMAND_*")
	awkward := "it's \"quoted\" $HOME `id` \\ \n\tä;|&"
	inputs := props{
		"connection":  host.with(key),
		"create":      text(`printf %s "$GREETING"`),
		"update":      text(`printf '<%s>' "$PULUMI_COMMAND_STDOUT"`),
		"environment": property.New(map[string]property.Value{"GREETING": text(awkward)}),
	}
	state := e.mustCreate(remoteCommand, inputs)
	e.expect(state, "stdout", awkward)
	e.expect(e.mustUpdate(remoteCommand, state, inputs), "stdout", "<"+awkward+">")
	inputs["environment"] = property.New(map[string]property.Value{"REFUSED": text("x")})
	_, err := e.create(remoteCommand, inputs)
	e.expectError(err, `"REFUSED"`, "AcceptEnv")
}

func TestPreviousOutputThatTheHostRefusesIsOnlyAWarning(t *testing.T) {
	e, key := newEngine(t), newKey(t)
	host := startSSHD(t, key)
	inputs := props{"connection": host.with(key), "create": text("echo one"), "update": text("echo two")}
	state := e.mustCreate(remoteCommand, inputs)
	log := logged(func() { e.expect(e.mustUpdate(remoteCommand, state, inputs), "stdout", "two") })
	if !strings.Contains(log, "level=WARN") || !strings.Contains(log, "PULUMI_COMMAND_STDOUT") {
		t.Errorf("no warning: %s", log)
	}
	inputs["addPreviousOutputInEnv"] = property.New(false)
	log = logged(func() { e.mustUpdate(remoteCommand, state, inputs) })
	if strings.Contains(log, "level=WARN") {
		t.Errorf("a warning: %s", log)
	}
}

func TestRemoteUpdateAndDeleteRunInOrder(t *testing.T) {
	e, key, order := newEngine(t), newKey(t), filepath.Join(t.TempDir(), "order")
	host := startSSHD(t, key)
	inputs := props{
		"connection": host.with(key),
		"create":     text("echo create >> " + order),
		"delete":     text("echo delete >> " + order),
	}
	state := e.mustCreate(remoteCommand, inputs)
	state = e.mustUpdate(remoteCommand, state, inputs)
	e.expectFile(order, "create\ncreate\n")
	e.mustDelete(remoteCommand, state)
	e.expectFile(order, "create\ncreate\ndelete\n")
}

func TestAFailingRemoteCommandFailsWithItsStatusAndOutput(t *testing.T) {
	e, key := newEngine(t), newKey(t)
	host := startSSHD(t, key)
	_, err := e.create(remoteCommand, props{"connection": host.with(key), "create": text("echo no luck; exit 7")})
	e.expectError(err, "exited with status 7", `running "echo no luck; exit 7"`, "no luck\n")
}

func TestRemoteOutputIsLoggedAsLoggingSays(t *testing.T) {
	e, key := newEngine(t), newKey(t)
	host := startSSHD(t, key)
	inputs := props{"connection": host.with(key), "create": text("echo to-stdout; echo to-stderr >&2")}
	inputs["logging"] = text("stderr")
	log := logged(func() { e.mustCreate(remoteCommand, inputs) })
	if strings.Contains(log, "to-stdout") || !strings.Contains(log, "to-stderr") {
		t.Error(log)
	}
	e.expectRefusal(remoteCommand, props{"connection": host.with(key), "logging": text("x")}, "logging", "none of")
}

func TestCancellationStopsTheRemoteCommandAndItsChildren(t *testing.T) {
	e, key, dir := newEngine(t), newKey(t), t.TempDir()
	host, pids := startSSHDForTester(t, key), filepath.Join(dir, "pids")
	openToAll(t, dir, 0o777)
	failed := make(chan error, 1)
	go func() {
		_, err := e.create(remoteCommand, props{
			"connection": host.with(key),
			"create":     text("sleep 600 & echo $! $$ > " + pids + ".new; mv " + pids + ".new " + pids + "; wait"),
		})
		failed <- err
	}()
	eventually(t, "the command has started", func() bool { _, err := os.Stat(pids); return err == nil })
	if err := e.server.Cancel(); err != nil {
		t.Fatal(err)
	}
	e.expectError(<-failed, "canceled")
	content, _ := os.ReadFile(pids)
	for _, field := range strings.Fields(string(content)) {
		pid, _ := strconv.Atoi(field)
		eventually(t, "process "+field+" is gone", func() bool { return !alive(pid) })
	}
}
