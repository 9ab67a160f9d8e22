// Package lifecycle says which of a resource's commands runs when; where it runs is for others to know.
package lifecycle

import "github.com/pulumi/pulumi/sdk/v3/go/common/resource"

// Commands are the properties that both kinds of command have.
type Commands struct {
	Triggers *[]any  `pulumi:"triggers,optional" provider:"replaceOnChanges"`
	Create   *string `pulumi:"create,optional"`
	Update   *string `pulumi:"update,optional"`
	Delete   *string `pulumi:"delete,optional"`
}

// Run runs one command to its end.
type Run[R any] func(command string) (R, error)

// Create makes the resource's id, and runs `create` if there is one. A preview runs nothing.
func Create[R any](name string, preview bool, commands Commands, run Run[R]) (id string, result R, err error) {
	id, err = resource.NewUniqueHex(name, 8, 0)
	if err == nil && !preview && commands.Create != nil {
		result, err = run(*commands.Create)
	}
	return id, result, err
}

// Update runs `update`, or `create` where there is none. Without either, and in a preview, the last result stays.
func Update[R any](previous R, preview bool, commands Commands, run Run[R]) (R, error) {
	command := commands.Update
	if command == nil {
		command = commands.Create
	}
	if preview || command == nil {
		return previous, nil
	}
	return run(*command)
}

// Delete runs `delete` as it was when the resource was last created or updated.
func Delete[R any](commands Commands, run Run[R]) error {
	if commands.Delete == nil {
		return nil
	}
	_, err := run(*commands.Delete)
	return err
}
