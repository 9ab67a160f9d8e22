package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pkg/sftp"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi-go-provider/infer/types"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// CopyToRemote is the resource `command:remote:CopyToRemote`. Deleting it leaves the copy where it is.
type CopyToRemote struct{}

// CopyToRemoteInputs are the properties that a program sets.
type CopyToRemoteInputs struct {
	Connection *Connection          `pulumi:"connection" provider:"secret"`
	Source     types.AssetOrArchive `pulumi:"source"`
	RemotePath string               `pulumi:"remotePath"`
	Triggers   *[]any               `pulumi:"triggers,optional" provider:"replaceOnChanges"`
}

// CopyToRemoteState is what the stack remembers.
type CopyToRemoteState struct {
	CopyToRemoteInputs
}

// Check refuses sources that are no file, text or directory.
func (*CopyToRemote) Check(
	ctx context.Context, req infer.CheckRequest,
) (infer.CheckResponse[CopyToRemoteInputs], error) {
	inputs, failures, err := infer.DefaultCheck[CopyToRemoteInputs](ctx, req.NewInputs)
	asset, archive := inputs.Source.Asset, inputs.Source.Archive
	refuse := func(reason string) {
		failures = append(failures, p.CheckFailure{Property: "source", Reason: reason})
	}
	switch {
	case req.NewInputs.Get("source").IsComputed(), len(failures) > 0:
	case asset == nil && archive == nil:
		refuse("is missing; give a FileAsset, a StringAsset or a FileArchive")
	case asset != nil && !asset.IsPath() && !asset.IsText():
		refuse("a RemoteAsset can't be copied; give a FileAsset or a StringAsset")
	case archive != nil && !archive.IsPath():
		refuse("only a FileArchive can be copied, neither an AssetArchive nor a RemoteArchive")
	}
	return infer.CheckResponse[CopyToRemoteInputs]{Inputs: inputs, Failures: failures}, err
}

// Create copies. A preview connects nowhere.
func (*CopyToRemote) Create(
	ctx context.Context, req infer.CreateRequest[CopyToRemoteInputs],
) (infer.CreateResponse[CopyToRemoteState], error) {
	state := CopyToRemoteState{req.Inputs}
	id, err := resource.NewUniqueHex(req.Name, 8, 0)
	if err == nil && !req.DryRun {
		err = req.Inputs.copy(ctx)
	}
	return infer.CreateResponse[CopyToRemoteState]{ID: id, Output: state}, err
}

// Update copies again, over what is there.
func (*CopyToRemote) Update(
	ctx context.Context, req infer.UpdateRequest[CopyToRemoteInputs, CopyToRemoteState],
) (infer.UpdateResponse[CopyToRemoteState], error) {
	var err error
	if !req.DryRun {
		err = req.Inputs.copy(ctx)
	}
	return infer.UpdateResponse[CopyToRemoteState]{Output: CopyToRemoteState{req.Inputs}}, err
}

func (c *CopyToRemoteInputs) copy(ctx context.Context) error {
	client, closeClient, err := c.Connection.dial(ctx)
	if err != nil {
		return err
	}
	defer closeClient()
	defer context.AfterFunc(ctx, closeClient)() // closing is what interrupts a copy
	files, err := sftp.NewClient(client, sftp.UseConcurrentWrites(true))
	if err != nil {
		return fmt.Errorf("the host has no SFTP: %w", err)
	}
	defer files.Close()
	target := target{files}
	if c.Source.Asset != nil && c.Source.Asset.IsText() {
		return target.putText(c.Source.Asset.Text, c.RemotePath)
	}
	if c.Source.Asset != nil {
		return target.put(c.Source.Asset.Path, c.RemotePath)
	}
	return target.put(c.Source.Archive.Path, c.RemotePath)
}

// target is the host's file system.
type target struct{ *sftp.Client }

// put copies a file or a whole directory as `cp -r` does: into a directory that is there, else under the new name. A
// directory always arrives under its own name, unless its path ends in a slash, which means its content.
func (t target) put(source, destination string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	if info.IsDir() {
		if !strings.HasSuffix(source, "/") {
			absolute, err := filepath.Abs(source)
			if err != nil {
				return err
			}
			destination = path.Join(destination, filepath.Base(absolute))
		}
		return t.putDirectory(source, destination)
	}
	if there, err := t.stat(destination); err != nil {
		return err
	} else if there != nil && there.IsDir() {
		destination = path.Join(destination, filepath.Base(source))
	}
	return t.putFile(source, destination)
}

func (t target) putDirectory(source, destination string) error {
	return fs.WalkDir(os.DirFS(source), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		remotePath := path.Join(destination, name)
		if entry.IsDir() {
			return t.makeDirectory(remotePath)
		}
		return t.putFile(filepath.Join(source, name), remotePath)
	})
}

func (t target) putFile(source, destination string) error {
	local, err := os.Open(source)
	if err != nil {
		return err
	}
	defer local.Close()
	return t.write(local, destination)
}

func (t target) putText(text, destination string) error {
	if there, err := t.stat(destination); err != nil {
		return err
	} else if there != nil && there.IsDir() {
		return fmt.Errorf("remotePath %s is a directory on the host; a text needs the path of a file", destination)
	}
	return t.write(strings.NewReader(text), destination)
}

func (t target) write(content io.Reader, destination string) error {
	if err := t.makeDirectory(path.Dir(destination)); err != nil {
		return err
	}
	remote, err := t.Create(destination)
	if err != nil {
		return fmt.Errorf("can't write %s on the host: %w", destination, err)
	}
	_, err = remote.ReadFrom(content)
	if err = errors.Join(err, remote.Close()); err != nil {
		return fmt.Errorf("can't write %s on the host: %w", destination, err)
	}
	return nil
}

func (t target) makeDirectory(directory string) error {
	there, err := t.stat(directory)
	if err != nil {
		return err
	}
	if there == nil {
		err = t.MkdirAll(directory)
	} else if !there.IsDir() {
		err = errors.New("there is a file of that name")
	}
	if err != nil {
		return fmt.Errorf("can't make directory %s on the host: %w", directory, err)
	}
	return nil
}

// stat returns nil for what isn't there.
func (t target) stat(name string) (fs.FileInfo, error) {
	info, err := t.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("can't look at %s on the host: %w", name, err)
	}
	return info, nil
}
