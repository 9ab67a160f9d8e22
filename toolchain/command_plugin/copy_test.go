package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/archive"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/asset"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

func fileAsset(t *testing.T, content string) property.Value {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.txt")
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	made, err := asset.FromPath(path)
	if err != nil {
		t.Fatal(err)
	}
	return property.New(made)
}

// directory holds a file, an empty file, and a directory with a file and an empty one in it.
func directory(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	for _, path := range []string{"sub/empty"} {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, content := range map[string]string{"a": "A", "sub/b": strings.Repeat("B", 300_000), "none": ""} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func directoryArchive(t *testing.T, path string) property.Value {
	t.Helper()
	made, err := archive.FromPath(path)
	if err != nil {
		t.Fatal(err)
	}
	return property.New(made)
}

type copier struct {
	*engine
	connection property.Value
	dir        string
}

func newCopier(t *testing.T) copier {
	t.Helper()
	key := newKey(t)
	return copier{newEngine(t), startSSHD(t, key).with(key), t.TempDir()}
}

func (c copier) inputs(source property.Value, remotePath string) props {
	return props{"connection": c.connection, "source": source, "remotePath": text(remotePath)}
}

func (c copier) at(parts ...string) string {
	return filepath.Join(append([]string{c.dir}, parts...)...)
}

func TestAFileIsCopiedUnderItsNewNameAndParentsAreMade(t *testing.T) {
	c := newCopier(t)
	c.mustCreate(copyToRemote, c.inputs(fileAsset(t, "content"), c.at("new", "deep", "name")))
	c.expectFile(c.at("new", "deep", "name"), "content")
}

func TestAFileGoesIntoADirectoryThatIsThere(t *testing.T) {
	c := newCopier(t)
	c.mustCreate(copyToRemote, c.inputs(fileAsset(t, "content"), c.dir))
	c.expectFile(c.at("file.txt"), "content")
}

func TestAFileThatIsThereIsOverwrittenAndShortened(t *testing.T) {
	c := newCopier(t)
	state := c.mustCreate(copyToRemote, c.inputs(fileAsset(t, "a longer content"), c.at("f")))
	c.mustUpdate(copyToRemote, state, c.inputs(fileAsset(t, "short"), c.at("f")))
	c.expectFile(c.at("f"), "short")
}

func TestATextIsCopied(t *testing.T) {
	c := newCopier(t)
	made, err := asset.FromText("text ä")
	if err != nil {
		t.Fatal(err)
	}
	c.mustCreate(copyToRemote, c.inputs(property.New(made), c.at("sub", "text")))
	c.expectFile(c.at("sub", "text"), "text ä")
	_, err = c.create(copyToRemote, c.inputs(property.New(made), c.dir))
	c.expectError(err, c.dir, "is a directory")
}

func TestADirectoryArrivesUnderItsOwnName(t *testing.T) {
	c := newCopier(t)
	inputs := c.inputs(directoryArchive(t, directory(t)), c.at("target"))
	state := c.mustCreate(copyToRemote, inputs)
	c.expectFile(c.at("target", "tree", "a"), "A")
	c.expectFile(c.at("target", "tree", "none"), "")
	c.expectFile(c.at("target", "tree", "sub", "b"), strings.Repeat("B", 300_000))
	if info, err := os.Stat(c.at("target", "tree", "sub", "empty")); err != nil || !info.IsDir() {
		t.Error("the empty directory is missing")
	}
	c.mustUpdate(copyToRemote, state, inputs) // over what is there
}

func TestATrailingSlashMeansTheContentOfADirectory(t *testing.T) {
	c := newCopier(t)
	c.mustCreate(copyToRemote, c.inputs(directoryArchive(t, directory(t)+"/"), c.at("target")))
	c.expectFile(c.at("target", "a"), "A")
	c.expectFile(c.at("target", "sub", "b"), strings.Repeat("B", 300_000))
}

func TestADirectoryDoesNotReplaceAFile(t *testing.T) {
	c := newCopier(t)
	if err := os.WriteFile(c.at("taken"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := c.create(copyToRemote, c.inputs(directoryArchive(t, directory(t)+"/"), c.at("taken")))
	c.expectError(err, c.at("taken"), "file of that name")
	c.expectFile(c.at("taken"), "x")
}

func TestAnArchiveFileIsCopiedAsItIs(t *testing.T) {
	c, source := newCopier(t), filepath.Join(t.TempDir(), "a.tgz")
	if err := os.WriteFile(source, []byte("not unpacked"), 0o644); err != nil {
		t.Fatal(err)
	}
	// Made by hand, because hashing would want a real archive.
	c.mustCreate(copyToRemote, c.inputs(property.New(&archive.Archive{Sig: archive.ArchiveSig, Path: source}), c.at("b.tgz")))
	c.expectFile(c.at("b.tgz"), "not unpacked")
}

func TestOtherSourcesAreRefused(t *testing.T) {
	c := newCopier(t)
	remote := property.New(&asset.Asset{Sig: asset.AssetSig, URI: "https://example.org/x"})
	c.expectRefusal(copyToRemote, c.inputs(remote, "/x"), "source", "RemoteAsset")
	made := property.New(&archive.Archive{Sig: archive.ArchiveSig, Assets: map[string]any{}})
	c.expectRefusal(copyToRemote, c.inputs(made, "/x"), "source", "FileArchive")
	c.expectRefusal(copyToRemote, props{"connection": c.connection, "remotePath": text("/x")}, "source", "")
}

func TestAMissingSourceAndAForbiddenTargetAreNamed(t *testing.T) {
	c := newCopier(t)
	gone := property.New(&asset.Asset{Sig: asset.AssetSig, Path: "/no/such/file"})
	_, err := c.create(copyToRemote, c.inputs(gone, c.at("x")))
	c.expectError(err, "/no/such/file")
	_, err = c.create(copyToRemote, c.inputs(fileAsset(t, "x"), "/proc/forbidden/x"))
	c.expectError(err, "/proc/forbidden")
}

func TestDeletingACopyLeavesTheFile(t *testing.T) {
	c := newCopier(t)
	state := c.mustCreate(copyToRemote, c.inputs(fileAsset(t, "kept"), c.at("f")))
	c.mustDelete(copyToRemote, state)
	c.expectFile(c.at("f"), "kept")
}

func TestTheDeprecatedCopyFileIsRefusedWithItsReplacement(t *testing.T) {
	c := newCopier(t)
	inputs := props{"connection": c.connection, "localPath": text("a"), "remotePath": text("b")}
	c.expectRefusal("command:remote:CopyFile", inputs, "localPath", "use CopyToRemote")
}
