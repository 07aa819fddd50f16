package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"time"
)

// inbox holds events until they are worked on, and the ids of those that were.
type inbox struct {
	part, new, done string
	wake            chan struct{}
}

func openInbox(root string) (*inbox, error) {
	box := &inbox{
		part: filepath.Join(root, "part"),
		new:  filepath.Join(root, "new"),
		done: filepath.Join(root, "done"),
		wake: make(chan struct{}, 1),
	}
	// What a crash cut off was never promised.
	if err := os.RemoveAll(box.part); err != nil {
		return nil, err
	}
	for _, directory := range []string{box.part, box.new, box.done} {
		if err := os.MkdirAll(directory, 0o700); err != nil {
			return nil, err
		}
	}
	return box, nil
}

// keep has the event on disk when it returns without an error; it says false when it was there before.
func (box *inbox) keep(id, event string, body []byte) (bool, error) {
	part, final := filepath.Join(box.part, id), filepath.Join(box.new, id)
	// Of all who try at once, one creates it.
	file, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		// Not 409: a 4xx is final to the sender, and the other request may still fail.
		return false, &refused{429, "this id is being taken right now", "1"}
	}
	if err != nil {
		return false, err
	}
	kept := false
	defer func() {
		file.Close() // After a success it is closed already.
		if !kept {
			os.Remove(part)
		}
	}()
	if exists(final) || exists(filepath.Join(box.done, id)) {
		return false, nil
	}
	waiting, err := os.ReadDir(box.new)
	if err != nil {
		return false, err
	}
	if len(waiting) >= waitingMax {
		return false, &refused{503, "too many events wait here", "10"}
	}
	if _, err := file.Write(append([]byte(event+"\n"), body...)); err != nil {
		return false, err
	}
	if err := file.Sync(); err != nil {
		return false, err
	}
	if err := file.Close(); err != nil {
		return false, err
	}
	if err := os.Rename(part, final); err != nil {
		return false, err
	}
	kept = true
	if err := syncDirectory(box.new); err != nil {
		return false, err
	}
	select {
	case box.wake <- struct{}{}:
	default: // It is awake already.
	}
	return true, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// syncDirectory: a new name in a directory outlives a power cut only after this.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync()
}

// run works on what waits, until it is told to stop.
func (box *inbox) run(ctx context.Context) {
	again := map[string]time.Time{}
	nextLook := time.Now()
	for {
		waiting, err := os.ReadDir(box.new)
		if err != nil {
			log.Printf("cannot read the inbox: %v", err)
		}
		for _, entry := range waiting {
			if ctx.Err() != nil {
				return
			}
			if time.Now().Before(again[entry.Name()]) {
				continue
			}
			delete(again, entry.Name())
			// One event that fails must not stop the others.
			if err := box.workOn(entry.Name()); err != nil {
				log.Printf("work failed id=%s again_in=%s problem=%v", entry.Name(), workAgain, err)
				again[entry.Name()] = time.Now().Add(workAgain)
			}
		}
		if !time.Now().Before(nextLook) {
			box.forget(time.Now().Add(-remembered))
			nextLook = time.Now().Add(time.Hour)
		}
		select {
		case <-ctx.Done():
			return
		case <-box.wake:
		case <-time.After(workAgain):
		}
	}
}

func (box *inbox) workOn(id string) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = errors.New("it panicked")
		}
	}()
	content, err := os.ReadFile(filepath.Join(box.new, id))
	if err != nil {
		return err
	}
	event, body, _ := bytes.Cut(content, []byte("\n"))
	if err := work(id, string(event), body); err != nil {
		return err
	}
	// Only now: an id that was marked before its work would hide that the work failed.
	done := filepath.Join(box.done, id)
	if err := os.Rename(filepath.Join(box.new, id), done); err != nil {
		return err
	}
	return os.Truncate(done, 0)
}

func (box *inbox) forget(before time.Time) {
	entries, err := os.ReadDir(box.done)
	if err != nil {
		log.Printf("cannot read the inbox: %v", err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.ModTime().Before(before) {
			os.Remove(filepath.Join(box.done, entry.Name()))
		}
	}
}
