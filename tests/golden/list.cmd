opsh list golden
opsh list no-playbook-has-this-word
opsh --output jsonl list golden
