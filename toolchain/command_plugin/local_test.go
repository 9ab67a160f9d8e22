package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

func TestCreateRunsTheCommandAndKeepsBothStreams(t *testing.T) {
	e := newEngine(t)
	state := e.mustCreate(localCommand, props{"create": text("echo out; echo out2; echo err >&2")})
	e.expect(state, "stdout", "out\nout2")
	e.expect(state, "stderr", "err")
	e.expect(state, "create", "echo out; echo out2; echo err >&2")
}

func TestOnlyTheLastLineEndIsTakenAway(t *testing.T) {
	e := newEngine(t)
	e.expect(e.mustCreate(localCommand, props{"create": text(`printf 'a\n\n'`)}), "stdout", "a\n")
}

func TestWithoutCreateNothingRuns(t *testing.T) {
	e := newEngine(t)
	e.expect(e.mustCreate(localCommand, props{"delete": text("true")}), "stdout", "")
}

func TestAPreviewRunsNothing(t *testing.T) {
	e, marker := newEngine(t), filepath.Join(t.TempDir(), "ran")
	inputs := property.NewMap(props{"create": text("touch " + marker), "update": text("touch " + marker)})
	if _, err := e.server.Create(p.CreateRequest{Urn: urn(localCommand), Properties: inputs, DryRun: true}); err != nil {
		t.Fatal(err)
	}
	state := e.mustCreate(localCommand, props{"create": text("true")})
	request := p.UpdateRequest{Urn: urn(localCommand), ID: "id", State: state, Inputs: inputs, DryRun: true}
	if _, err := e.server.Update(request); err != nil {
		t.Fatal(err)
	}
	e.expectNoFile(marker)
}

func TestInAPreviewTheOutputIsUnknown(t *testing.T) {
	e := newEngine(t)
	created, err := e.server.Create(p.CreateRequest{
		Urn: urn(localCommand), Properties: property.NewMap(props{"create": text("echo hi")}), DryRun: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !created.Properties.Get("stdout").IsComputed() {
		t.Errorf("stdout is %v", created.Properties.Get("stdout"))
	}
	e.expect(created.Properties, "create", "echo hi")
}

func TestUpdateRunsUpdate(t *testing.T) {
	e := newEngine(t)
	state := e.mustCreate(localCommand, props{"create": text("echo one"), "update": text("echo two")})
	state = e.mustUpdate(localCommand, state, props{"create": text("echo changed"), "update": text("echo two")})
	e.expect(state, "stdout", "two")
}

func TestWithoutUpdateCreateRunsAgain(t *testing.T) {
	e := newEngine(t)
	state := e.mustCreate(localCommand, props{"create": text("echo one")})
	e.expect(e.mustUpdate(localCommand, state, props{"create": text("echo changed")}), "stdout", "changed")
}

func TestUpdateAndDeleteSeeThePreviousOutput(t *testing.T) {
	e, seen := newEngine(t), filepath.Join(t.TempDir(), "seen")
	inputs := props{
		"create": text("echo first; echo complaint >&2"),
		"update": text(`echo "$PULUMI_COMMAND_STDOUT/$PULUMI_COMMAND_STDERR"`),
		"delete": text(`printf %s "$PULUMI_COMMAND_STDOUT" > ` + seen),
	}
	state := e.mustCreate(localCommand, inputs)
	state = e.mustUpdate(localCommand, state, inputs)
	e.expect(state, "stdout", "first/complaint")
	e.mustDelete(localCommand, state)
	e.expectFile(seen, "first/complaint")
}

func TestThePreviousOutputCanBeLeftOut(t *testing.T) {
	e := newEngine(t)
	inputs := props{
		"create":                 text("echo first"),
		"update":                 text(`echo "<$PULUMI_COMMAND_STDOUT>"`),
		"addPreviousOutputInEnv": property.New(false),
	}
	state := e.mustUpdate(localCommand, e.mustCreate(localCommand, inputs), inputs)
	e.expect(state, "stdout", "<>")
}

func TestDeleteRunsTheLastKnownDeleteCommand(t *testing.T) {
	e, dir := newEngine(t), t.TempDir()
	order := filepath.Join(dir, "order")
	state := e.mustCreate(localCommand, props{"delete": text("echo old >> " + order)})
	state = e.mustUpdate(localCommand, state, props{"delete": text("echo new >> " + order)})
	e.expectNoFile(order)
	e.mustDelete(localCommand, state)
	e.expectFile(order, "new\n")
}

func TestStdinReachesTheCommand(t *testing.T) {
	e := newEngine(t)
	state := e.mustCreate(localCommand, props{"create": text("wc -l; cat"), "stdin": text("a\nb\n")})
	e.expect(state, "stdout", "2")
	state = e.mustCreate(localCommand, props{"create": text("cat"), "stdin": text("a\nb")})
	e.expect(state, "stdout", "a\nb")
}

func TestEnvironmentIsTakenLiterallyAndMergedWithOurs(t *testing.T) {
	t.Setenv("FROM_OUTSIDE", "outside")
	t.Setenv("OVERRIDDEN", "outside")
	e := newEngine(t)
	awkward := "it's \"quoted\" $HOME `id` \\ \n\tä;|&"
	state := e.mustCreate(localCommand, props{
		"create": text(`printf '%s|%s|%s' "$FROM_OUTSIDE" "$OVERRIDDEN" "$AWKWARD"`),
		"environment": property.New(map[string]property.Value{
			"OVERRIDDEN": text("ours"), "AWKWARD": text(awkward),
		}),
	})
	e.expect(state, "stdout", "outside|ours|"+awkward)
}

func TestTheInterpreterReceivesTheCommandAsItsLastArgument(t *testing.T) {
	e := newEngine(t)
	state := e.mustCreate(localCommand, props{
		"create": text("a b; c"), "interpreter": list("printf", "<%s>"),
	})
	e.expect(state, "stdout", "<a b; c>")
}

func TestDirIsWhereTheCommandRuns(t *testing.T) {
	e, dir := newEngine(t), t.TempDir()
	e.expect(e.mustCreate(localCommand, props{"create": text("pwd -P"), "dir": text(dir)}), "stdout", dir)
	_, err := e.create(localCommand, props{"create": text("pwd"), "dir": text(dir + "/missing")})
	e.expectError(err, "no such file or directory")
}

func TestAFailingCommandFailsWithItsStatusAndItsOutputInOrder(t *testing.T) {
	e := newEngine(t)
	_, err := e.create(localCommand, props{"create": text("echo one; echo two >&2; sleep 0.1; echo three; exit 7")})
	e.expectError(err, "exit status 7", `running "echo one`, "one\n", "two\n", "three\n")
}

func TestAFailingUpdateAndDeleteFail(t *testing.T) {
	e := newEngine(t)
	state := e.mustCreate(localCommand, props{"update": text("exit 3"), "delete": text("exit 4")})
	_, err := e.server.Update(p.UpdateRequest{
		Urn: urn(localCommand), ID: "id", State: state, Inputs: property.NewMap(props{"update": text("exit 3")}),
	})
	e.expectError(err, "exit status 3")
	e.expectError(e.server.Delete(p.DeleteRequest{Urn: urn(localCommand), ID: "id", Properties: state}), "exit status 4")
}

func TestAMissingInterpreterIsNamed(t *testing.T) {
	e := newEngine(t)
	_, err := e.create(localCommand, props{"create": text("x"), "interpreter": list("/no/such/shell")})
	e.expectError(err, "/no/such/shell")
}

func TestOutputIsLoggedLineByLineAsLoggingSays(t *testing.T) {
	e := newEngine(t)
	for logging, want := range map[string][2]bool{
		"": {true, true}, "stdout": {true, false}, "stderr": {false, true}, "stdoutAndStderr": {true, true}, "none": {},
	} {
		inputs := props{"create": text("echo to-stdout; echo to-stderr >&2; printf unended")}
		if logging != "" {
			inputs["logging"] = text(logging)
		}
		log := logged(func() { e.mustCreate(localCommand, inputs) })
		for i, line := range []string{"msg=to-stdout", "msg=to-stderr"} {
			if strings.Contains(log, line) != want[i] {
				t.Errorf("logging=%q: %q in the log is not %v:\n%s", logging, line, want[i], log)
			}
		}
		if strings.Contains(log, "msg=unended") != want[0] {
			t.Errorf("logging=%q: the last line without an end is wrong:\n%s", logging, log)
		}
	}
}

func TestALineWithoutEndIsLoggedWhileItGrowsAndKeptWhole(t *testing.T) {
	e := newEngine(t)
	var state property.Map
	log := logged(func() {
		state = e.mustCreate(localCommand, props{"create": text("head -c 200000 /dev/zero | tr '\\0' x")})
	})
	e.expect(state, "stdout", strings.Repeat("x", 200000))
	if strings.Count(log, "level=INFO") < 10 {
		t.Error("the line was held back")
	}
}

func TestAWrongValueOfLoggingIsRefused(t *testing.T) {
	newEngine(t).expectRefusal(localCommand, props{"logging": text("stdoutt")}, "logging", `"stdoutt" is none of`)
}

func TestAnUnknownPropertyIsRefusedByName(t *testing.T) {
	newEngine(t).expectRefusal(localCommand, props{"creat": text("x")}, "creat", "")
}

func TestAssetsAndArchiveHoldWhatTheGlobsName(t *testing.T) {
	e, dir := newEngine(t), t.TempDir()
	state := e.mustCreate(localCommand, props{
		"create":       text("mkdir -p assets/logos src && touch assets/logos/logo.svg src/index.js src/secret.js"),
		"dir":          text(dir),
		"assetPaths":   list("assets/**", "src/**.js", "!**secret.*"),
		"archivePaths": list("src/*"),
	})
	assets, archive := state.Get("assets").AsMap(), state.Get("archive").AsArchive()
	members, _ := archive.GetAssets()
	if assets.Len() != 2 || !assets.Get("assets/logos/logo.svg").IsAsset() || len(members) != 2 {
		t.Errorf("assets: %v, archive: %v", assets, members)
	}
	if path := assets.Get("src/index.js").AsAsset().Path; path != filepath.Join(dir, "src/index.js") {
		t.Errorf("path: %s", path)
	}
	if _, there := members["src/secret.js"]; !there {
		t.Errorf("archive: %v", members)
	}
	e.mustDelete(localCommand, state) // a state with assets in it is understood
}

func TestABadGlobIsNamed(t *testing.T) {
	e := newEngine(t)
	_, err := e.create(localCommand, props{"create": text("true"), "assetPaths": list("[")})
	e.expectError(err, "assetPaths", `"["`)
}

func TestChangedTriggersReplaceAndOtherChangesUpdate(t *testing.T) {
	e := newEngine(t)
	diff := func(olds, news props) p.DiffResponse {
		old := e.check(localCommand, olds).Inputs
		changes, err := e.server.Diff(p.DiffRequest{
			Urn: urn(localCommand), ID: "id", State: e.mustCreate(localCommand, olds), OldInputs: old,
			Inputs: e.check(localCommand, news).Inputs,
		})
		if err != nil {
			t.Fatal(err)
		}
		return changes
	}
	base := props{"create": text("true")}
	if diff(base, base).HasChanges {
		t.Error("the same inputs make a change")
	}
	changes := diff(base, props{"create": text("false")})
	if !changes.HasChanges || changes.DetailedDiff["create"].Kind != p.Update {
		t.Errorf("create: %v", changes)
	}
	changes = diff(base, props{"create": text("true"), "triggers": list("a")})
	if changes.DetailedDiff["triggers"].Kind != p.AddReplace {
		t.Errorf("new triggers: %v", changes)
	}
	// The path is what the SDK's replace_on_changes=["triggers[*]"] waits for.
	changes = diff(props{"triggers": list("a", "b")}, props{"triggers": list("a", "c")})
	if _, there := changes.DetailedDiff["triggers[1]"]; !there || !changes.HasChanges {
		t.Errorf("triggers: %v", changes)
	}
}

func TestTriggersMayBeOfAnyType(t *testing.T) {
	e := newEngine(t)
	triggers := property.New([]property.Value{
		text("a"), property.New(1.5), property.New(true), property.New(map[string]property.Value{"k": text("v")}),
	})
	state := e.mustCreate(localCommand, props{"triggers": triggers})
	if got := state.Get("triggers"); !got.Equals(triggers) {
		t.Errorf("got %v", got)
	}
}

func TestSecretsStaySecret(t *testing.T) {
	e := newEngine(t)
	state := e.mustCreate(localCommand, props{
		"create":      text("true"),
		"stdin":       text("hidden").WithSecret(true),
		"environment": property.New(map[string]property.Value{"OPEN": text("1"), "KEY": text("hidden").WithSecret(true)}),
	})
	if !state.Get("stdin").Secret() || !state.Get("environment").HasSecrets() {
		t.Errorf("state: %v", state)
	}
	if state.Get("create").HasSecrets() {
		t.Error("what isn't secret became one")
	}
}

func TestCancellationStopsTheCommandAndItsChildren(t *testing.T) {
	e, dir := newEngine(t), t.TempDir()
	pids := filepath.Join(dir, "pids")
	failed := make(chan error, 1)
	go func() {
		_, err := e.server.Create(p.CreateRequest{
			Urn: urn(localCommand), Properties: property.NewMap(props{
				"create": text("sleep 600 & sleep 600 & echo $! $$ > " + pids + ".new; mv " + pids + ".new " + pids + "; wait"),
			}),
		})
		failed <- err
	}()
	eventually(t, "the command has started", func() bool { _, err := os.Stat(pids); return err == nil })
	if err := e.server.Cancel(); err != nil {
		t.Fatal(err)
	}
	e.expectError(<-failed, "canceled", "running")
	content, _ := os.ReadFile(pids)
	for _, field := range strings.Fields(string(content)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "process "+field+" is gone", func() bool { return !alive(pid) })
	}
}

func TestWhatACommandLeavesInTheBackgroundGoesOn(t *testing.T) {
	e := newEngine(t)
	state := e.mustCreate(localCommand, props{"create": text("sleep 600 >/dev/null 2>&1 & echo $!")})
	pid, err := strconv.Atoi(state.Get("stdout").AsString())
	if err != nil {
		t.Fatal(err)
	}
	if !alive(pid) {
		t.Error("the background process was stopped with its command")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

// alive doesn't count zombies: who inherits an orphan may take its time to collect it.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(status), ") Z ")
}

func TestRunIsAFunctionWithTheSameProperties(t *testing.T) {
	e, dir := newEngine(t), t.TempDir()
	answer, err := e.server.Invoke(p.InvokeRequest{Token: "command:local:run", Args: property.NewMap(props{
		"command": text("cat; touch file"), "stdin": text("in"), "dir": text(dir), "assetPaths": list("*"),
	})})
	if err != nil || len(answer.Failures) > 0 {
		t.Fatal(err, answer.Failures)
	}
	e.expect(answer.Return, "stdout", "in")
	e.expect(answer.Return, "command", "cat; touch file")
	if !e.wire(answer.Return).Get("assets").AsMap().Get("file").IsAsset() {
		t.Errorf("assets: %v", answer.Return.Get("assets"))
	}
	_, err = e.server.Invoke(p.InvokeRequest{
		Token: "command:local:run", Args: property.NewMap(props{"command": text("echo no; exit 5")}),
	})
	e.expectError(err, "exit status 5", "no")
}
