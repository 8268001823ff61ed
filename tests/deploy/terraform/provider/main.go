// A provider for Terraform that knows the schema of hashicorp/aws and nothing else: enough for `terraform validate`, and
// for `terraform test` with mock_provider, without AWS and without its binary. The schema is read from the file that
// PROVIDER_SCHEMA names (see schema.py).
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

type attribute struct {
	Type      json.RawMessage
	Required  bool
	Optional  bool
	Computed  bool
	WriteOnly bool `json:"write_only"`
}

type nestedBlock struct {
	Nesting  string
	Min, Max int64
	Block    block
}

type block struct {
	Attributes map[string]attribute
	BlockTypes map[string]nestedBlock `json:"block_types"`
}

type document struct {
	Provider  block
	Resources map[string]block
	Data      map[string]block
}

var scalars = map[string]tftypes.Type{"string": tftypes.String, "number": tftypes.Number, "bool": tftypes.Bool}

var nestings = map[string]tfprotov5.SchemaNestedBlockNestingMode{
	"list":   tfprotov5.SchemaNestedBlockNestingModeList,
	"set":    tfprotov5.SchemaNestedBlockNestingModeSet,
	"single": tfprotov5.SchemaNestedBlockNestingModeSingle,
}

// typeOf reads "string", or ["list", "string"].
func typeOf(raw json.RawMessage) tftypes.Type {
	var name string
	if json.Unmarshal(raw, &name) == nil {
		if scalar, known := scalars[name]; known {
			return scalar
		}
		return tftypes.DynamicPseudoType
	}
	var pair [2]string
	if err := json.Unmarshal(raw, &pair); err != nil {
		log.Fatal(err)
	}
	switch element := scalars[pair[1]]; pair[0] {
	case "list":
		return tftypes.List{ElementType: element}
	case "set":
		return tftypes.Set{ElementType: element}
	default:
		return tftypes.Map{ElementType: element}
	}
}

func schemaBlock(from block) *tfprotov5.SchemaBlock {
	made := &tfprotov5.SchemaBlock{}
	for name, a := range from.Attributes {
		made.Attributes = append(made.Attributes, &tfprotov5.SchemaAttribute{
			Name: name, Type: typeOf(a.Type), Required: a.Required, Optional: a.Optional, Computed: a.Computed,
			WriteOnly: a.WriteOnly,
		})
	}
	for name, n := range from.BlockTypes {
		made.BlockTypes = append(made.BlockTypes, &tfprotov5.SchemaNestedBlock{
			TypeName: name, Nesting: nestings[n.Nesting], MinItems: n.Min, MaxItems: n.Max, Block: schemaBlock(n.Block),
		})
	}
	return made
}

func schemas(from map[string]block) map[string]*tfprotov5.Schema {
	made := map[string]*tfprotov5.Schema{}
	for name, b := range from {
		made[name] = &tfprotov5.Schema{Block: schemaBlock(b)}
	}
	return made
}

// provider answers what validate and a mocked test ask; any other call would panic in the embedded nil interface.
type provider struct {
	tfprotov5.ProviderServer
	known document
}

func (p *provider) GetMetadata(context.Context, *tfprotov5.GetMetadataRequest) (*tfprotov5.GetMetadataResponse, error) {
	made := &tfprotov5.GetMetadataResponse{}
	for name := range p.known.Resources {
		made.Resources = append(made.Resources, tfprotov5.ResourceMetadata{TypeName: name})
	}
	for name := range p.known.Data {
		made.DataSources = append(made.DataSources, tfprotov5.DataSourceMetadata{TypeName: name})
	}
	return made, nil
}

func (p *provider) GetProviderSchema(context.Context, *tfprotov5.GetProviderSchemaRequest) (*tfprotov5.GetProviderSchemaResponse, error) {
	return &tfprotov5.GetProviderSchemaResponse{
		Provider:          &tfprotov5.Schema{Block: schemaBlock(p.known.Provider)},
		ResourceSchemas:   schemas(p.known.Resources),
		DataSourceSchemas: schemas(p.known.Data),
	}, nil
}

func (p *provider) GetResourceIdentitySchemas(context.Context, *tfprotov5.GetResourceIdentitySchemasRequest) (*tfprotov5.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov5.GetResourceIdentitySchemasResponse{}, nil
}

func (p *provider) GetFunctions(context.Context, *tfprotov5.GetFunctionsRequest) (*tfprotov5.GetFunctionsResponse, error) {
	return &tfprotov5.GetFunctionsResponse{}, nil
}

func (p *provider) PrepareProviderConfig(_ context.Context, asked *tfprotov5.PrepareProviderConfigRequest) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: asked.Config}, nil
}

func (p *provider) ConfigureProvider(context.Context, *tfprotov5.ConfigureProviderRequest) (*tfprotov5.ConfigureProviderResponse, error) {
	return &tfprotov5.ConfigureProviderResponse{}, nil
}

func (p *provider) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func (p *provider) ValidateResourceTypeConfig(context.Context, *tfprotov5.ValidateResourceTypeConfigRequest) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	return &tfprotov5.ValidateResourceTypeConfigResponse{}, nil
}

func (p *provider) ValidateDataSourceConfig(context.Context, *tfprotov5.ValidateDataSourceConfigRequest) (*tfprotov5.ValidateDataSourceConfigResponse, error) {
	return &tfprotov5.ValidateDataSourceConfigResponse{}, nil
}

func main() {
	text, err := os.ReadFile(os.Getenv("PROVIDER_SCHEMA"))
	if err != nil {
		log.Fatal(err)
	}
	made := &provider{}
	if err = json.Unmarshal(text, &made.known); err != nil {
		log.Fatal(err)
	}
	serve := func() tfprotov5.ProviderServer { return made }
	if err = tf5server.Serve("registry.terraform.io/hashicorp/aws", serve); err != nil {
		log.Fatal(err)
	}
}
