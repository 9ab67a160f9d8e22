// Package shim reaches the Terraform Docker provider, which keeps its constructor in an internal package.
// Its import path lies below the provider's own, and that is what lets it import the internal package.
package shim

import (
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/terraform-providers/terraform-provider-docker/internal/provider"
)

// NewProvider returns the Terraform provider that the Pulumi plugin serves.
func NewProvider() *schema.Provider {
	return provider.New("")()
}
