package local

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gobwas/glob"
	"github.com/pulumi/pulumi-go-provider/infer/types"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

type rule struct {
	matches  glob.Glob
	excludes bool
}

// readFiles turns the files that the globs name into assets, and into one archive.
func (r *Result) readFiles(dir string, process Process) error {
	if process.AssetPaths != nil {
		assets, err := findAssets(dir, *process.AssetPaths)
		if err != nil {
			return fmt.Errorf("assetPaths: %w", err)
		}
		wrapped := make(map[string]types.AssetOrArchive, len(assets))
		for path, asset := range assets {
			wrapped[path] = types.AssetOrArchive{Asset: asset}
		}
		r.Assets = &wrapped
	}
	if process.ArchivePaths != nil {
		assets, err := findAssets(dir, *process.ArchivePaths)
		if err != nil {
			return fmt.Errorf("archivePaths: %w", err)
		}
		members := make(map[string]any, len(assets))
		for path, asset := range assets {
			members[path] = asset
		}
		if r.Archive, err = resource.NewAssetArchive(members); err != nil {
			return fmt.Errorf("archivePaths: %w", err)
		}
	}
	return nil
}

// findAssets returns the files below dir that the last matching glob includes, by their path relative to dir.
func findAssets(dir string, globs []string) (map[string]*resource.Asset, error) {
	rules := make([]rule, 0, len(globs))
	for _, pattern := range globs {
		bare, excludes := strings.CutPrefix(pattern, "!")
		compiled, err := glob.Compile(bare, '/')
		if err != nil {
			return nil, fmt.Errorf("%q: %w", pattern, err)
		}
		rules = append(rules, rule{compiled, excludes})
	}
	assets := map[string]*resource.Asset{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !included(rules, path) {
			return err
		}
		assets[path], err = resource.NewPathAsset(filepath.Join(dir, path))
		return err
	})
	return assets, err
}

func included(rules []rule, path string) bool {
	include := false
	for _, rule := range rules {
		if rule.matches.Match(path) {
			include = !rule.excludes
		}
	}
	return include
}
