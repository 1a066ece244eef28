"""The velocity meter: a Faust application that counts tokens per key in windows and says when a key runs away."""
