package remote

import (
	"context"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
)

// CopyFile is the SDK's deprecated `command:remote:CopyFile`. This plugin refuses it, and says what takes its place.
type CopyFile struct{}

// CopyFileInputs are the properties that a program sets.
type CopyFileInputs struct {
	Connection *Connection `pulumi:"connection" provider:"secret"`
	LocalPath  string      `pulumi:"localPath"`
	RemotePath string      `pulumi:"remotePath"`
	Triggers   *[]any      `pulumi:"triggers,optional" provider:"replaceOnChanges"`
}

const copyFileRefusal = "CopyFile is deprecated and not part of this plugin; " +
	"use CopyToRemote with source=FileAsset(local_path) and the same remote_path"

// Check refuses the resource before anything is done.
func (*CopyFile) Check(ctx context.Context, req infer.CheckRequest) (infer.CheckResponse[CopyFileInputs], error) {
	inputs, failures, err := infer.DefaultCheck[CopyFileInputs](ctx, req.NewInputs)
	failures = append(failures, p.CheckFailure{Property: "localPath", Reason: copyFileRefusal})
	return infer.CheckResponse[CopyFileInputs]{Inputs: inputs, Failures: failures}, err
}

// Create is never reached; a resource has to have it.
func (*CopyFile) Create(
	context.Context, infer.CreateRequest[CopyFileInputs],
) (infer.CreateResponse[CopyFileInputs], error) {
	return infer.CreateResponse[CopyFileInputs]{}, infer.ProviderErrorf(copyFileRefusal)
}
