# opsh completion bash: to be sourced, as by
#   source <(opsh completion bash)
# The words are asked of opsh itself, so that they are those of this version and
# of the targets file at hand. A file is offered where opsh has nothing to say.
_opsh() {
	local line=${COMP_LINE:0:COMP_POINT} words word prefix IFS=$' \t\n'
	read -ra words <<<"$line"
	[[ $line == *[[:space:]] ]] && words+=("")
	word=${words[${#words[@]}-1]}
	# bash replaces what stands after its last word break
	prefix=${word%"${word##*[=:]}"}
	[[ $prefix && $COMP_WORDBREAKS == *"${prefix: -1}"* ]] || prefix=
	COMPREPLY=()
	while IFS=$'\t' read -r word _; do
		[[ $word ]] || continue
		COMPREPLY+=("${word#"$prefix"}")
		[[ $word == *= ]] && compopt -o nospace
	done < <("${words[0]}" completion --words -- "${words[@]:1}" 2>/dev/null)
}
complete -o default -F _opsh opsh
