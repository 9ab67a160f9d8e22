package main

import (
	"encoding/json"
	"os"
	"sort"
	"strings"
	"testing"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
)

type property struct {
	List   bool                `json:"list"`
	Fields map[string]property `json:"fields"`
}

// The engine sends what the SDK's names say. A property that we call otherwise would be ignored without a word.
func TestPropertiesAreNamedAndShapedAsInTheSDK(t *testing.T) {
	content, err := os.ReadFile("testdata/pulumi_docker_properties.json")
	if err != nil {
		t.Fatal(err)
	}
	var sdk map[string]map[string]property
	if err := json.Unmarshal(content, &sdk); err != nil {
		t.Fatal(err)
	}
	info := providerInfo()
	for name, resource := range info.Resources {
		expected, there := sdk[string(resource.Tok)]
		if !there {
			t.Errorf("%s is no resource of the SDK", resource.Tok)
			continue
		}
		compare(t, string(resource.Tok), expected, info.P.ResourcesMap().Get(name).Schema(), resource.Fields)
		delete(sdk, string(resource.Tok))
	}
	compare(t, "provider", sdk["provider"], info.P.Schema(), info.Config)
	delete(sdk, "provider")
	for token := range sdk {
		t.Errorf("%s is missing", token)
	}
}

func compare(
	t *testing.T, at string, expected map[string]property, schemas shim.SchemaMap, infos map[string]*tfbridge.SchemaInfo,
) {
	t.Helper()
	seen := map[string]bool{}
	schemas.Range(func(terraformName string, schema shim.Schema) bool {
		name := tfbridge.TerraformToPulumiNameV2(terraformName, schemas, infos)
		seen[name] = true
		want, there := expected[name]
		if !there {
			if schema.Removed() == "" && schema.Deprecated() == "" {
				t.Logf("%s: only we have %s", at, name)
			}
			return true
		}
		list := (schema.Type() == shim.TypeList || schema.Type() == shim.TypeSet) &&
			!tfbridge.IsMaxItemsOne(schema, infos[terraformName])
		if list != want.List {
			t.Errorf("%s.%s: list is %v, expected %v", at, name, list, want.List)
		}
		if nested, ok := schema.Elem().(shim.Resource); ok && want.Fields != nil {
			compare(t, at+"."+name, want.Fields, nested.Schema(), nil)
		}
		return true
	})
	missing := []string{}
	for name := range expected {
		if !seen[name] && name != "id" {
			missing = append(missing, name)
		}
	}
	sort.Strings(missing)
	if len(missing) > 0 {
		t.Errorf("%s lacks %s", at, strings.Join(missing, ", "))
	}
}
