// The Docker plugin: Terraform's Docker provider behind Pulumi's Terraform bridge, under the tokens of `pulumi_docker`.
package main

import (
	"encoding/json"
	"log"
	"strings"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/terraform-providers/terraform-provider-docker/shim"
)

// version is the `pulumi_docker` release whose programs this plugin serves; set by the linker.
var version = "0.0.0-unset"

// resources of the SDK, by their Terraform names. The SDK's native `Image` is not among them: it exists only in the
// official plugin; RemoteImage builds images, too.
var resources = map[string]string{
	"docker_buildx_builder": "BuildxBuilder",
	"docker_config":         "ServiceConfig",
	"docker_container":      "Container",
	"docker_image":          "RemoteImage",
	"docker_network":        "Network",
	"docker_plugin":         "Plugin",
	"docker_registry_image": "RegistryImage",
	"docker_secret":         "Secret",
	"docker_service":        "Service",
	"docker_tag":            "Tag",
	"docker_volume":         "Volume",
}

var dataSources = map[string]string{
	"docker_image":                    "getRemoteImage",
	"docker_logs":                     "getLogs",
	"docker_network":                  "getNetwork",
	"docker_plugin":                   "getPlugin",
	"docker_registry_image":           "getRegistryImage",
	"docker_registry_image_manifests": "getRegistryImageManifests",
}

// fields whose names the bridge would make plural, or singular, where the SDK does not.
var fields = map[string]map[string]*tfbridge.SchemaInfo{
	"docker_container": {
		"command":           {Name: "command"},
		"networks_advanced": {Name: "networksAdvanced"},
	},
	"docker_image": {"name": {Name: "name"}},
}

func token(member string) string {
	return "docker:index/" + strings.ToLower(member[:1]) + member[1:] + ":" + member
}

func providerInfo() tfbridge.ProviderInfo {
	info := tfbridge.ProviderInfo{
		P:       shimv2.NewProvider(shim.NewProvider()),
		Name:    "docker",
		Version: version,
		Config: map[string]*tfbridge.SchemaInfo{
			"host": {Default: &tfbridge.DefaultInfo{
				Value:   "unix:///var/run/docker.sock",
				EnvVars: []string{"DOCKER_HOST"},
			}},
			"registry_auth": {Name: "registryAuth", MaxItemsOne: tfbridge.False()},
		},
		Resources:   map[string]*tfbridge.ResourceInfo{},
		DataSources: map[string]*tfbridge.DataSourceInfo{},
	}
	for name, member := range resources {
		info.Resources[name] = &tfbridge.ResourceInfo{
			Tok:    tokens.Type(token(member)),
			Fields: fields[name],
			// A container's name and ports are taken as long as the old one is there.
			DeleteBeforeReplace: name == "docker_container",
		}
	}
	for name, member := range dataSources {
		info.DataSources[name] = &tfbridge.DataSourceInfo{Tok: tokens.ModuleMember(token(member))}
	}
	info.SetAutonaming(255, "-")
	return info
}

func main() {
	// The engine takes names and types from the SDK; the schema matters only to `pulumi schema get`.
	schema, err := json.Marshal(map[string]string{"name": "docker", "version": version})
	if err != nil {
		log.Fatal(err)
	}
	tfbridge.Main("docker", version, providerInfo(), schema)
}
