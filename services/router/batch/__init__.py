"""The batch worker: files of requests, worked on line by line by the same code as requests that come alone."""
