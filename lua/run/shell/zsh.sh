#compdef opsh
# opsh completion zsh: a file _opsh of $fpath, or to be sourced after compinit:
#   source <(opsh completion zsh)
# The words are asked of opsh itself.
_opsh() {
	local -a found plain
	local word what
	while IFS=$'\t' read -r word what; do
		[[ -n $word ]] || continue
		if [[ $word == *= ]]; then
			plain+=("$word")
		else
			found+=("${word//:/\\:}${what:+:$what}")
		fi
	done < <("${words[1]}" completion --words -- "${(@)words[2,CURRENT]}" 2>/dev/null)
	(( $#plain )) && compadd -S '' -- $plain
	(( $#found )) && _describe opsh found
	(( $#plain + $#found )) || _files
}
if [[ $funcstack[1] == _opsh ]]; then
	_opsh "$@"
else
	compdef _opsh opsh
fi
