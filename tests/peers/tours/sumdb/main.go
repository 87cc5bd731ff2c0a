// Go's golang.org/x/mod/sumdb opens the notes, reads tiles over HTTP as a client of the checksum database does, and
// checks the ledger's proofs: main URL KEY FOLDER.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

// tiles reads from the ledger. Go names tiles tile/8/LEVEL/NUMBER; C2SP has no height there.
type tiles struct{ url string }

func (t tiles) Height() int { return height }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		data, err := get(t.url + "/tile/" + strings.TrimPrefix(tile.Path(), "tile/8/"))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func get(url string) ([]byte, error) {
	answer, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		return nil, fmt.Errorf("%s: %s", url, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func mustFail(err error) {
	if err == nil {
		panic("what does not hold was accepted")
	}
}

func parse(text string) tlog.Tree {
	lines := strings.Split(text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	root, err := tlog.ParseHash(lines[2])
	must(err)
	return tlog.Tree{N: size, Hash: root}
}

func main() {
	url, folder := os.Args[1], os.Args[3]
	verifier, err := note.NewVerifier(os.Args[2])
	must(err)
	checkpoints, err := filepath.Glob(filepath.Join(folder, "*", "checkpoint"))
	must(err)
	checked := 0
	for _, path := range checkpoints {
		signed, err := os.ReadFile(path)
		must(err)
		opened, err := note.Open(signed, note.VerifierList(verifier))
		must(err)
		_, err = note.Open(bytes.Replace(signed, []byte("\n"), []byte("x\n"), 1), note.VerifierList(verifier))
		mustFail(err)
		tree := parse(opened.Text)
		reader := tlog.TileHashReader(tree, tiles{url})
		root, err := tlog.TreeHash(tree.N, reader)
		must(err)
		if root != tree.Hash {
			panic("the tiles have another root")
		}
		checked += checkRecords(filepath.Dir(path), tree, reader) + checkTrees(filepath.Dir(path), tree, reader)
	}
	fmt.Printf("checked %d\n", checked)
}

func checkRecords(folder string, tree tlog.Tree, reader tlog.HashReader) int {
	files, err := filepath.Glob(filepath.Join(folder, "*.tlog-proof"))
	must(err)
	for _, path := range files {
		file, err := os.ReadFile(path)
		must(err)
		entry, err := os.ReadFile(strings.TrimSuffix(path, ".tlog-proof") + ".entry")
		must(err)
		head, _, _ := strings.Cut(string(file), "\n\n")
		_, rest, _ := strings.Cut(head, "\nindex ")
		lines := strings.Split(rest, "\n")
		index, err := strconv.ParseInt(lines[0], 10, 64)
		must(err)
		var proof tlog.RecordProof
		for _, line := range lines[1:] {
			raw, err := base64.StdEncoding.DecodeString(line)
			must(err)
			proof = append(proof, tlog.Hash(*(*[32]byte)(raw)))
		}
		must(tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)))
		mustFail(tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(append(entry, ' '))))
		own, err := tlog.ProveRecord(tree.N, index, reader)
		must(err)
		if fmt.Sprint(own) != fmt.Sprint(proof) {
			panic("Go's own proof of an entry is another one")
		}
	}
	return len(files)
}

func checkTrees(folder string, tree tlog.Tree, reader tlog.HashReader) int {
	var steps []struct {
		From   int64  `json:"from"`
		Root   string `json:"from_root"`
		Hashes []string
	}
	file, err := os.ReadFile(filepath.Join(folder, "consistency.json"))
	must(err)
	must(json.Unmarshal(file, &steps))
	for _, step := range steps {
		var proof tlog.TreeProof
		for _, each := range step.Hashes {
			proof = append(proof, hash(each))
		}
		must(tlog.CheckTree(proof, tree.N, tree.Hash, step.From, hash(step.Root)))
		mustFail(tlog.CheckTree(proof, tree.N, tree.Hash, step.From, tlog.Hash{}))
		own, err := tlog.ProveTree(tree.N, step.From, reader)
		must(err)
		if fmt.Sprint(own) != fmt.Sprint(proof) {
			panic("Go's own proof of consistency is another one")
		}
	}
	return len(steps)
}

func hash(digits string) tlog.Hash {
	raw, err := hex.DecodeString(digits)
	must(err)
	return tlog.Hash(*(*[32]byte)(raw))
}
