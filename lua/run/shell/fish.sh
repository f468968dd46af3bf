# opsh completion fish: a file of ~/.config/fish/completions, or to be sourced:
#   opsh completion fish | source
# The words are asked of opsh itself; a file is offered where it has none.
function __opsh_words
	set -l words (commandline -opc) (commandline -ct)
	set -l found ($words[1] completion --words -- $words[2..-1] 2>/dev/null)
	if test (count $found) -gt 0
		printf '%s\n' $found
	else
		__fish_complete_path (commandline -ct)
	end
end
complete -c opsh -f -a '(__opsh_words)'
